import Encoding
import Envelope

/// What every ciphertext and tag is bound to: what it is, whose, which version. docs/KEYS.md prints this table.
enum Purpose {
    static func slotPrivate(_ slot: SlotID, kind: HolderKind) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/slot.private-key")
        data.add(slot)
        data.add(kind.rawValue)
        return data
    }

    static func slotVaultKey(_ slot: SlotID, vault: VaultID, version: Int64) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/slot.vault-key")
        data.add(slot)
        data.add(vault)
        data.add(UInt64(version))
        return data
    }

    static func vaultPrivate(_ vault: VaultID, version: Int64) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/vault.private-key")
        data.add(vault)
        data.add(UInt64(version))
        return data
    }

    static func connectionKey(_ connection: ConnectionID, vault: VaultID, version: Int64) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/connection.key")
        data.add(connection)
        data.add(vault)
        data.add(UInt64(version))
        return data
    }

    static func approvalKey(_ connection: ConnectionID, plugin: PluginID, version: Int64) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/approval.connection-key")
        data.add(connection)
        data.add(plugin)
        data.add(UInt64(version))
        return data
    }

    static func personPrivate(_ pair: PluginPersonID, plugin: PluginID, person: PersonID) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/plugin-person.private-key")
        data.add(pair)
        data.add(plugin)
        data.add(person)
        return data
    }

    static func serviceKey(_ connection: ConnectionID, version: Int64) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/connection.service-key")
        data.add(connection)
        data.add(UInt64(version))
        return data
    }

    static func credential(
        _ connection: ConnectionID, vault: VaultID, person: PersonID, provider: String, generation: Int64
    ) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/connection.credential")
        data.add(connection)
        data.add(vault)
        data.add(person)
        data.add(provider)
        data.add(UInt64(generation))
        return data
    }

    static func journal(_ connection: ConnectionID, generation: Int64) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/rotation-journal")
        data.add(connection)
        data.add(UInt64(generation))
        return data
    }

    static func linkKey(
        _ link: LinkID, from: VaultID, to: VaultID, fromSlot: SlotID, toSlot: SlotID, version: Int64
    ) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/link.vault-key")
        data.add(link)
        data.add(from)
        data.add(to)
        data.add(fromSlot)
        data.add(toSlot)
        data.add(UInt64(version))
        return data
    }

    static func linkCode(_ link: LinkID, _ code: String) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/link-code")
        data.add(link)
        data.add(code)
        return data
    }

    static func claim(_ connection: ConnectionID) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/activity.claim")
        data.add(connection)
        return data
    }

    static func logKey(
        _ key: LogKeyID, of connection: ConnectionID, vault: VaultID, person: PersonID
    ) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/log.key")
        data.add(key)
        data.add(connection)
        data.add(vault)
        data.add(person)
        return data
    }

    static func auditKey(_ file: String) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/audit.first-key")
        data.add(file)
        return data
    }

    static func requestClaim(_ idHash: [UInt8]) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/request.claim")
        data.add(bytes: idHash)
        return data
    }

    static func requestLink(_ idHash: [UInt8], vault: VaultID) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/request.link")
        data.add(bytes: idHash)
        data.add(vault)
        return data
    }

    static func need(
        vault: VaultID?, provider: String, scopes: String, optional: String, account: String
    ) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/request-need")
        data.add(bytes: vault?.bytes ?? [])
        data.add(provider)
        data.add(scopes)
        data.add(optional)
        data.add(account)
        return data
    }

    static func verifier(_ stateHash: [UInt8]) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/authorization.verifier")
        data.add(bytes: stateHash)
        return data
    }

    static func minute(_ table: StaticString, _ row: SlotID, _ column: StaticString) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/minute")
        data.add("\(table)")
        data.add(row)
        data.add("\(column)")
        return data
    }

    static func userCode(_ code: String) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/user-code")
        data.add(code)
        return data
    }

    static func successor(_ token: SlotID) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/client-token.successor")
        data.add(token)
        return data
    }

    static func publicKey(of holder: StaticString, _ id: [UInt8], _ key: PublicKey) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/public-key")
        data.add("\(holder)")
        data.add(bytes: id)
        data.add(bytes: key.bytes)
        return data
    }

    static func account(provider: String, id: String) -> AssociatedData {
        var data = AssociatedData("toolshed/v1/account")
        data.add(provider)
        data.add(id)
        return data
    }
}
