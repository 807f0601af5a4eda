import Broker
import Encoding
import Envelope
import Secrets
import Testing
import Vault

@testable import Keeper

@Suite("Keeper protocol")
struct ProtocolTests {
    init() { _ = Shelf.heap }

    private func bytes(_ request: KeeperRequest, serial: UInt64) -> [UInt8] {
        request.withEncoded(serial: serial) { Array($0) }
    }

    private func decode(_ bytes: [UInt8]) throws -> (serial: UInt64, request: KeeperRequest) {
        try bytes.withUnsafeBytes { try KeeperRequest.decode($0) }
    }

    @Test("Every request comes out as it went in")
    func requests() throws {
        let dice = Dice(3)
        for _ in 0..<2_000 {
            let id = ConnectionID(high: dice.next(), low: dice.next())
            let serial = dice.next()
            let generation = Int64(dice.next() >> 1 | 1)
            let secret = dice.randomness.bytes(32)
            let key = ConnectionKey(try Key(copying: secret))
            let hold = try decode(
                bytes(
                    .hold(id, generation: generation, seconds: UInt32(truncatingIfNeeded: serial), key: key),
                    serial: serial))
            guard case .hold(id, generation, UInt32(truncatingIfNeeded: serial), let found) = hold.request else {
                Issue.record("not a hold")
                return
            }
            #expect(hold.serial == serial)
            #expect(found.key.withUnsafeBytes { Array($0) } == secret)
            let refresh = try decode(bytes(.refresh(id, generation: generation), serial: serial))
            guard case .refresh(id, generation) = refresh.request else {
                Issue.record("not a refresh")
                return
            }
        }
        let person = PersonID(high: 1, low: 2)
        let vault = VaultID(high: 3, low: 4)
        for forgetting in [
            KeeperForgetting.connection(ConnectionID(high: 5, low: 6)), .vault(vault), .person(person), .all,
        ] {
            guard case .forget(forgetting) = try decode(bytes(.forget(forgetting), serial: 9)).request else {
                Issue.record("not \(forgetting)")
                return
            }
        }
        guard case .count(person) = try decode(bytes(.count(person), serial: 9)).request else {
            Issue.record("not a count")
            return
        }
    }

    @Test("Every answer comes out as it went in")
    func answers() throws {
        let answers: [KeeperAnswer] = [
            .done, .count(0), .count(.max), .refresh(.refreshed(generation: 7)), .refresh(.reauthorize),
            .refresh(.retryLater(seconds: 9)), .refresh(.misconfigured), .refresh(.unavailable), .noKey,
        ]
        for answer in answers {
            let bytes = answer.encode(serial: 0xFFFF_FFFF_FFFF_FFFE)
            #expect(bytes.count == KeeperProtocol.answerSize)
            let decoded = try bytes.withUnsafeBytes { try KeeperAnswer.decode($0) }
            #expect(decoded.serial == 0xFFFF_FFFF_FFFF_FFFE)
            #expect(decoded.answer == answer)
        }
    }

    @Test("Junk is an error, and a cut or lengthened datagram never a message")
    func junk() throws {
        let dice = Dice(11)
        let key = ConnectionKey(try Key(copying: dice.randomness.bytes(32)))
        let id = ConnectionID(high: 1, low: 1)
        let good = [
            bytes(.hold(id, generation: 1, seconds: 1, key: key), serial: 1),
            bytes(.refresh(id, generation: 1), serial: 1),
            bytes(.forget(.all), serial: 1), bytes(.count(PersonID(high: 1, low: 1)), serial: 1),
        ]
        for message in good {
            for length in 0..<message.count {
                #expect(throws: KeeperProtocolError.self) { try decode(Array(message[..<length])) }
            }
            #expect(throws: KeeperProtocolError.self) { try decode(message + [0]) }
        }
        var understood = 0
        for round in 0..<50_000 {
            var message = round % 2 == 0 ? dice.randomness.bytes(dice.below(100)) : good[dice.below(4)]
            if round % 2 == 1 { message[dice.below(message.count)] = UInt8(truncatingIfNeeded: dice.next()) }
            if (try? decode(message)) != nil { understood += 1 }
            if let answer = try? message.withUnsafeBytes({ try KeeperAnswer.decode($0) }) {
                #expect(answer.answer.encode(serial: answer.serial).count == message.count)
            }
        }
        #expect(understood > 0)
        #expect(throws: KeeperProtocolError.version(2)) { try decode([2] + good[1].dropFirst()) }
        #expect(throws: KeeperProtocolError.verb(99)) { try decode([1, 99] + good[1].dropFirst(2)) }
        #expect(throws: KeeperProtocolError.value) { try decode(bytes(.refresh(id, generation: 0), serial: 1)) }
    }
}
