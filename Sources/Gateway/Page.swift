import Broker
import Encoding
import FastCGI

/// `?after=&limit=`
struct Page {
    let after: String?
    let limit: Int

    init(_ exchange: Exchange, most: Int = 500, otherwise: Int = 100) throws {
        let query = try Query(exchange)
        after = try query["after"]
        let asked = try query["limit"].map { Int($0) ?? 0 } ?? otherwise
        guard (1...most).contains(asked) else {
            throw Refusal.invalidRequest([MemberError("limit", "a whole number from 1 to \(most)")])
        }
        limit = asked
    }

    /// What a cursor was read from is refused where it is none.
    static func cursor<Cursor>(_ read: Cursor?) throws -> Cursor {
        guard let read else { throw Refusal.invalidRequest([MemberError("after", "the `next` of the page before")]) }
        return read
    }

    /// Oldest first, or newest first, from after where the page before ended: what it ended with may be gone by now.
    func cut<Element, Kind>(
        _ all: [Element], newestFirst: Bool = false, at place: (Element) -> Place<Kind>
    ) throws -> (page: [Element], next: String?) {
        let after = try self.after.map { try Self.cursor(Place<Kind>(parsing: $0)) }
        let sorted = all.map { (place: place($0), element: $0) }.sorted {
            $0.place.precedes($1.place, newestFirst: newestFirst)
        }
        let rest = sorted.drop { entry in after.map { !$0.precedes(entry.place, newestFirst: newestFirst) } ?? false }
        let page = rest.prefix(limit)
        return (page.map(\.element), rest.count > limit ? page.last?.place.text : nil)
    }
}

/// Where something stands in a list: when it was made, and its id among what was made in the same moment.
struct Place<Kind: IDKind> {
    private let at: Instant
    private let id: ID<Kind>

    init(_ at: Instant, _ id: ID<Kind>) { (self.at, self.id) = (at, id) }

    init?(parsing text: String) {
        let parts = text.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, let at = Int64(parts[0]), let id = ID<Kind>(parsing: parts[1]) else { return nil }
        self.init(Instant(milliseconds: at), id)
    }

    var text: String { "\(at.milliseconds).\(id.text)" }

    func precedes(_ other: Place, newestFirst: Bool) -> Bool {
        guard at == other.at else { return newestFirst ? at > other.at : at < other.at }
        return (id.high, id.low) < (other.id.high, other.id.low)
    }
}
