import ArgumentParser

/// The daemon: one binary, started again for every role.
@main struct Toolshedd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "toolshedd",
        abstract: "Asks people for authorization on demand, keeps what they grant sealed, and vends tokens.",
        subcommands: [
            Supervise.self, Work.self, Keep.self, Invite.self, PluginCommand.self, Check.self, ProvidersCommand.self,
            RotateKey.self, IdentityCommand.self, NginxCommand.self, AuditCommand.self, StatusCommand.self,
            BackupCommand.self, RestoreCommand.self, MigrateCommand.self, OpenAPICommand.self,
        ]
    )
}
