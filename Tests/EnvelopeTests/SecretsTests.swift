import CLinux
import Encoding
import Foundation
import Secrets
import Testing

@testable import Envelope

@Suite struct SecureHeapTests {
    init() { testHeap }

    @Test("Secrets live in locked pages that no dump holds")
    func locked() throws {
        let secret = try SecretBytes(count: 64) { $0.initializeMemory(as: UInt8.self, repeating: 0x5A) }
        let address = secret.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        let maps = String(decoding: try #require(try file.readToEnd()), as: UTF8.self).split(separator: "\n")
        var isInside = false
        for line in maps {
            if let range = addressRange(line) { isInside = range.contains(address) }
            guard isInside, line.hasPrefix("VmFlags:") else { continue }
            let flags = line.split(separator: " ")
            #expect(flags.contains("lo"), "not locked: \(line)")
            #expect(flags.contains("dd"), "not kept out of dumps: \(line)")
            return
        }
        Issue.record("the secret's mapping was not found")
    }

    private func addressRange(_ line: Substring) -> Range<UInt>? {
        let ends = line.prefix { $0 != " " }.split(separator: "-")
        guard ends.count == 2, let low = UInt(ends[0], radix: 16), let high = UInt(ends[1], radix: 16) else {
            return nil
        }
        return low..<high
    }

    @Test("A released secret is wiped")
    func wiped() throws {
        let place = try placeOfReleasedSecret()
        // The arena stays mapped. Its list of free blocks uses the first bytes of the place.
        #expect(!place.contains(0x5A))
    }

    private func placeOfReleasedSecret() throws -> UnsafeRawBufferPointer {
        // Of a size that no other test takes, so that nobody else moves in.
        let secret = try SecretBytes(count: 40_000) { $0.initializeMemory(as: UInt8.self, repeating: 0x5A) }
        return secret.withUnsafeBytes { $0 }
    }

    @Test("Before the arena is started there is no secret memory, rather than ordinary memory")
    func notStarted() async {
        await #expect(processExitsWith: .success) {
            #expect(errorOf { () throws(SecureHeapError) in try SecretBytes(count: 1) { _ in } } == .notStarted)
            #expect(errorOf { () throws(SecureHeapError) in try SecretText("x") } == .notStarted)
        }
    }

    @Test("A process that may not lock memory gets no arena")
    func notLocked() async {
        await #expect(processExitsWith: .success) {
            var none = rlimit(rlim_cur: 0, rlim_max: 0)
            setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &none)
            if getuid() == 0 { setuid(65534) }
            #expect(errorOf { () throws(SecureHeapError) in try SecureHeap.start(bytes: 65536) } == .notLocked)
            #expect(!SecureHeap.isStarted)
            #expect(errorOf { () throws(SecureHeapError) in try SecretBytes(count: 1) { _ in } } == .notStarted)
        }
    }

    @Test("A full arena is a passing error, everywhere the same one")
    func exhausted() async {
        await #expect(processExitsWith: .success) {
            try SecureHeap.start(bytes: 65536)
            let keys = try testKeys(.system).workerKeys()
            let pair = try PrivateKey(random: .system)
            let key = try Key<VaultRole>(random: .system)
            let data = AssociatedData("test")
            let box = try AEAD.wrap(key, under: key, data, .system)
            let token = try Token(issuing: .cli, id: Randomness.system.id(), .system)
            let text = try token.text().withString { $0 }
            let publicKey = try pair.publicKey

            var held: [SecretText] = []
            // Largest first: what is at hand of a size is used up as well.
            for count in [512, 256, 128, 64, 32] {
                while let more = try? SecretText(String(repeating: "x", count: count)) { held.append(more) }
            }
            #expect(!held.isEmpty)
            #expect(errorOf { () throws(SecureHeapError) in try SecretText("x") } == .exhausted)
            #expect(errorOf { () throws(EnvelopeError) in try Key<VaultRole>(random: .system) } == .exhausted)
            #expect(errorOf { () throws(EnvelopeError) in try AEAD.open(box, under: key, data) } == .exhausted)
            #expect(
                errorOf { () throws(EnvelopeError) in
                    try HPKE.sealKey(key, to: publicKey, info: data, data, .system)
                } == .exhausted)
            #expect(errorOf { () throws(TokenError) in try Token(parsing: text) } == .exhausted)
            #expect(errorOf { () throws(EnvelopeError) in try token.derivedKey(salt: [], vault: nil) } == .exhausted)
            #expect(errorOf { () throws(EnvelopeError) in try keys.encode() } == .exhausted)

            held.removeAll()
            #expect(errorOf { () throws(EnvelopeError) in try AEAD.open(box, under: key, data) } == nil)
        }
    }

    @Test("Starting twice changes nothing; an absurd size is refused")
    func startingTwice() async {
        await #expect(processExitsWith: .success) {
            #expect(
                errorOf { () throws(SecureHeapError) in try SecureHeap.start(bytes: .max) } == .refused(bytes: .max))
            try SecureHeap.start(bytes: 5000)
            try SecureHeap.start(bytes: 1 << 30)
            let all = try SecretBytes(count: 8192) { $0.initializeMemory(as: UInt8.self, repeating: 0) }
            #expect(SecureHeap.bytesInUse == 8192)
            #expect(all.count == 8192)
        }
    }

    @Test("A hardened process leaves no core and cannot be read")
    func hardened() async {
        await #expect(processExitsWith: .success) {
            hardenProcess()
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
            #expect(limit.rlim_cur == 0 && limit.rlim_max == 0)
            #expect(clinux_prctl(PR_GET_DUMPABLE, 0) == 0)
        }
    }
}

@Suite struct SecretTextTests {
    init() { testHeap }

    @Test("No way of printing shows the text")
    func unprintable() throws {
        let secret = try SecretText("hunter2")
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), String(describing: [secret]), dumped] {
            #expect(!text.contains("hunter2"))
            #expect(text.contains("‹secret›"))
        }
        #expect(secret.withString { $0 } == "hunter2")
        #expect(secret.count == 7)
    }

    @Test("Comparison wants the same length and the same bytes")
    func matches() throws {
        let secret = try SecretText("hunter2")
        for (text, isSame) in [
            ("hunter2", true), ("hunter3", false), ("hunter", false), ("hunter22", false), ("", false),
        ] {
            #expect(Array(text.utf8).withUnsafeBytes { secret.matches($0) } == isSame)
        }
        let empty = try SecretText("")
        #expect(empty.matches(UnsafeRawBufferPointer(start: nil, count: 0)))
    }

    @Test("Wiping overwrites in place")
    func wiping() {
        var bytes: [UInt8] = [1, 2, 3]
        wipe(&bytes)
        #expect(bytes.isEmpty)
        var kept: [UInt8] = [1, 2, 3]
        kept.withUnsafeMutableBytes { wipe($0) }
        #expect(kept == [0, 0, 0])
    }

    @Test("Randomness fills all that it is given, differently each time")
    func randomness() {
        #expect(Randomness.system.bytes(0) == [])
        #expect(Randomness.system.bytes(1000).contains { $0 != 0 })
        let ids = Set((0..<1000).map { _ in Randomness.system.id() as PersonID })
        #expect(ids.count == 1000)
        #expect(Randomness.seeded("a").bytes(40) == Randomness.seeded("a").bytes(40))
        #expect(Randomness.seeded("a").bytes(40) != Randomness.seeded("b").bytes(40))
    }
}
