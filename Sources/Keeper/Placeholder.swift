// Keeper
