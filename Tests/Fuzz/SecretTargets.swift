import Encoding
import Secrets

@testable import Envelope

extension Fuzz {
    /// A token has one text; a text that is damaged is none.
    static func token(_ bytes: [UInt8]) throws -> Verdict {
        _ = heap
        return try bytes.withUnsafeBytes { raw in
            guard let token = try? Token(parsing: raw) else { return .reject }
            guard let text = try? token.text() else { throw BrokenPromise(description: "a token without a text") }
            try promise(text.matches(raw), "a token has two texts")
            try promise(bytes.starts(with: token.kind.prefix.utf8), "a token of another kind")
            for place in bytes.indices {
                var damaged = bytes
                damaged[place] ^= 0x01
                let isToken = damaged.withUnsafeBytes { damaged in
                    switch Result(catching: { _ = try Token(parsing: damaged) }) {
                    case .success: true
                    case .failure: false
                    }
                }
                try promise(!isToken, "byte \(place) does not matter")
            }
            return .accept
        }
    }

    /// `ENCRYPTION_KEY` as configured, and the subkeys as a child gets them.
    static func keys(_ bytes: [UInt8]) throws -> Verdict {
        _ = heap
        return try bytes.withUnsafeBytes { raw in
            if let subkeys = try? WorkerKeys(decoding: raw) {
                guard let again = try? subkeys.encode() else { throw BrokenPromise(description: "keys are lost") }
                try promise(again.matches(raw), "subkeys change by being handed on")
            }
            guard let keys = try? EncryptionKeys(parsing: raw) else { return .reject }
            guard let worker = try? keys.workerKeys(), let keeper = try? keys.keeperKeys() else {
                throw BrokenPromise(description: "keys that were taken cannot be used")
            }
            let first = bytes.prefix { $0 != UInt8(ascii: ",") }.filter { $0 > 0x20 }.split(
                separator: UInt8(ascii: ":"))
            let id = first.count == 2 ? UInt16(String(decoding: first[0], as: UTF8.self)) : EncryptionKeys.loneID
            try promise(
                keys.currentKeyID == id && worker.outer.currentKeyID == id, "the first key is not the current one")
            guard let sealed = try? worker.outer.seal([1, 2], table: "t", row: [3], column: "c", counting()) else {
                throw BrokenPromise(description: "nothing can be sealed")
            }
            let opened = try? keeper.outer.open(sealed, table: "t", row: [3], column: "c")
            try promise(opened == [1, 2], "the keeper opens \(String(describing: opened))")
            return .accept
        }
    }

    /// The same bytes at every run, so that an input that was found is found again.
    private static func counting() -> Randomness {
        Randomness { out in
            for index in out.indices { out[index] = UInt8(truncatingIfNeeded: index &* 7 &+ 1) }
        }
    }

    private static let worker: WorkerKeys = {
        _ = heap
        let text: [UInt8] = Array("3:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=".utf8)
        do {
            return try text.withUnsafeBytes { try EncryptionKeys(parsing: $0).workerKeys() }
        } catch {
            fatalError("the fuzzer's own key: \(error)")
        }
    }()

    /// Nobody makes a box that opens; what is sealed opens, and only as it is.
    static func box(_ bytes: [UInt8]) throws -> Verdict {
        let row = [UInt8](repeating: 1, count: 16)
        func open(_ box: [UInt8]) -> [UInt8]? {
            try? worker.outer.open(box, table: "slot", row: row, column: "vault_key")
        }
        let header = try? BoxHeader(parsing: bytes)
        if let header {
            var written: [UInt8] = [0, 0, 0, 0]
            written.withUnsafeMutableBufferPointer { header.write(to: $0.baseAddress!) }
            try promise(bytes.starts(with: written), "a header is also \(written)")
        }
        try promise(open(bytes) == nil, "a box that nobody sealed opens")
        guard let sealed = try? worker.outer.seal(bytes, table: "slot", row: row, column: "vault_key", counting())
        else {
            throw BrokenPromise(description: "nothing can be sealed")
        }
        try promise(open(sealed) == bytes, "what was sealed does not open")
        let place = bytes.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFF } % sealed.count
        var changed = sealed
        changed[place] ^= 1 << UInt8(bytes.count % 8)
        try promise(open(changed) == nil, "byte \(place) of a box does not matter")
        try promise(open(Array(sealed[..<place])) == nil, "\(place) bytes of a box open")
        try publicKeyBox(bytes, changedAt: place)
        return header == nil ? .reject : .accept
    }

    private static func publicKeyBox(_ bytes: [UInt8], changedAt place: Int) throws {
        let info = AssociatedData("toolshed/fuzz")
        guard let holder = try? PrivateKey(random: counting()), let key = try? holder.publicKey else {
            throw BrokenPromise(description: "no key")
        }
        func opens(_ box: [UInt8], as plain: [UInt8]? = nil) -> Bool {
            guard let opened = try? HPKE.open(box, with: holder, info: info, info) else { return false }
            return plain.map { plain in plain.withUnsafeBytes { opened.matches($0) } } ?? true
        }
        try promise(!opens(bytes), "a box that nobody sealed opens")
        // A box to a key costs a hundred others.
        guard bytes.count % 8 == 0 else { return }
        guard let sealed = try? bytes.withUnsafeBytes({ try HPKE.seal($0, to: key, info: info, info, counting()) })
        else { throw BrokenPromise(description: "nothing can be sealed to a key") }
        try promise(opens(sealed, as: bytes), "what was sealed to a key does not open")
        var changed = sealed
        changed[place % sealed.count] ^= 0x10
        try promise(!opens(changed), "byte \(place % sealed.count) of a box to a key does not matter")
    }
}
