// What Swift cannot call of SQLite itself.
#pragma once

// sqlite3_config is variadic, and Swift imports no variadic functions. Before the first connection of the process: SQLite
// keeps no statistics of its memory, and takes no process-wide lock for each block of it. 0, or SQLite's error.
int csqlite_without_memory_statistics(void);
