import Encoding
import Foundation
import Testing

@testable import Broker

@Suite("A rate that several processes count together")
final class RateTableTests {
    let path = NSTemporaryDirectory() + "rates-\(UUID().uuidString)"
    let now = Instant(milliseconds: 1_790_000_000_000)

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func take(_ table: RateTable, _ count: Int, _ key: RateTable.Key, perMinute: Int64, after seconds: Int64 = 0) -> Int
    {
        (0..<count).filter { _ in
            table.take([(key: key, perMinute: perMinute)], at: now.adding(seconds: seconds)) == nil
        }.count
    }

    @Test("A minute's worth at once, then evenly", arguments: [1, 2, 7, 60, 6_000, 60_000])
    func allowance(perMinute: Int64) throws {
        let table = try RateTable(path: path)
        let key = RateTable.Key([1])
        #expect(take(table, Int(perMinute) + 50, key, perMinute: perMinute) == Int(perMinute))
        #expect(take(table, Int(perMinute), key, perMinute: perMinute, after: 30) == Int(perMinute / 2))
        #expect(take(table, Int(perMinute) + 50, key, perMinute: perMinute, after: 600) == Int(perMinute))
    }

    @Test("So many at once and so many a second, whatever a minute would allow")
    func burst() throws {
        let table = try RateTable(path: path)
        let key = RateTable.Key([1])
        func taken(_ count: Int, after milliseconds: Int64) -> Int {
            let then = Instant(milliseconds: now.milliseconds + milliseconds)
            return (0..<count).filter { _ in table.take(key, perSecond: 10, burst: 20, at: then) == nil }.count
        }
        #expect(taken(100, after: 0) == 20)
        #expect(taken(100, after: 500) == 5)
        #expect(taken(100, after: 1_500) == 10)
        #expect(taken(100, after: 60_000) == 20)
        #expect(table.take(key, perSecond: 10, burst: 20, at: Instant(milliseconds: now.milliseconds + 60_000)) == 1)
    }

    @Test("The wait that is said is enough, and not more than that")
    func wait() throws {
        let table = try RateTable(path: path)
        let key = RateTable.Key([1])
        #expect(take(table, 6, key, perMinute: 6) == 6)
        #expect(table.take([(key: key, perMinute: 6)], at: now) == 10)
        #expect(table.take([(key: key, perMinute: 6)], at: now.adding(seconds: 4)) == 6)
        #expect(table.take([(key: key, perMinute: 6)], at: now.adding(seconds: 10)) == nil)
    }

    @Test("Two tables of one file are one count, and a new process goes on where the old one was")
    func shared() throws {
        let first = try RateTable(path: path)
        let second = try RateTable(path: path)
        let key = RateTable.Key([1], [2])
        #expect(take(first, 3, key, perMinute: 5) == 3)
        #expect(take(second, 5, key, perMinute: 5) == 2)
        #expect(take(try RateTable(path: path), 1, key, perMinute: 5) == 0)
    }

    @Test("Of two allowances both are taken or none")
    func both() throws {
        let table = try RateTable(path: path)
        let (wide, narrow) = (RateTable.Key([1]), RateTable.Key([1], [9]))
        for _ in 0..<20 { _ = table.take([(key: wide, perMinute: 10), (key: narrow, perMinute: 3)], at: now) }
        #expect(take(table, 20, wide, perMinute: 10) == 7)
    }

    @Test("Others are counted apart, however many there are")
    func apart() throws {
        let table = try RateTable(path: path)
        for number in 0..<2_000 {
            let key = RateTable.Key([UInt8(number & 255), UInt8(number >> 8)])
            #expect(take(table, 3, key, perMinute: 2) == 2)
        }
    }

    @Test("A clock that was set back shuts nobody out")
    func clock() throws {
        let table = try RateTable(path: path)
        let key = RateTable.Key([1])
        #expect(take(table, 5, key, perMinute: 5, after: 86_400) == 5)
        #expect(take(table, 9, key, perMinute: 5) == 5)
    }

    @Test("Many threads take no more than there is")
    func threads() async throws {
        let table = try RateTable(path: path)
        let now = now
        let taken = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    (0..<100).filter { _ in table.take([(key: RateTable.Key([7]), perMinute: 300)], at: now) == nil }
                        .count
                }
            }
            return await group.reduce(0, +)
        }
        #expect(taken == 300)
    }
}
