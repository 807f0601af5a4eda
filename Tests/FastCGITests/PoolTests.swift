import CLinux
import Glibc
import Testing

@testable import FastCGI

@Suite struct PoolTests {
    @Test("A kept connection answers one request after another")
    func keptConnection() throws {
        let served = try Served()
        let client = served.client()
        for number in 0..<50 {
            #expect(client.request("/\(number)")?.hasSuffix("post /\(number) 0") == true)
        }
    }

    @Test("A connection that is not kept is closed after the answer")
    func unkeptConnection() throws {
        let served = try Served()
        let client = served.client()
        #expect(client.request("/", keep: false)?.hasSuffix("post / 0") == true)
        #expect(client.isAtEnd())
    }

    @Test("More idle connections than threads block nobody")
    func idleConnections() throws {
        let served = try Served(threads: 1)
        let clients = (0..<100).map { _ in served.client() }
        for client in clients.reversed() { #expect(client.request("/a") != nil) }
        for client in clients { #expect(client.request("/b") != nil) }
    }

    @Test("A thread that rests stands in for one that is held up", arguments: [1, 2])
    func standingIn(atWork: Int) throws {
        let released = Flag()
        let served = try Served(threads: 4, atWork: atWork) { exchange, _, _ in
            if exchange.path == "/held" { released.wait() }
            exchange.respond("Status: 200\r\n\r\n", body: Array(exchange.path.utf8))
            return .answered
        }
        let held = (0..<3).map { _ in served.client() }
        for client in held { client.send(Record.request(["DOCUMENT_URI": "/held"])) }
        let other = served.client()
        for _ in 0..<10 { #expect(other.request("/other")?.hasSuffix("/other") == true) }
        released.raise()
        for client in held { #expect(client.receive()?.hasSuffix("/held") == true) }
        for _ in 0..<10 { #expect(other.request("/again")?.hasSuffix("/again") == true) }
    }

    @Test("Whoever waits for a thread that does not come back is told after some looks; the others go on")
    func stuckThread() throws {
        let (taken, released) = (Flag(), Flag())
        let served = try Served(threads: 3) { exchange, _, _ in
            if exchange.path == "/held" {
                taken.raise()
                released.wait()
            }
            exchange.respond("Status: 200\r\n\r\n", body: Array(exchange.path.utf8))
            return .answered
        }
        let held = served.client()
        let other = served.client()
        held.send(Record.request(["DOCUMENT_URI": "/held"]))
        taken.wait()
        for _ in 1..<Limits().looks {
            #expect(served.pool.look() == 0)
            // However many it has had: a thread that takes up one after the other is not stuck.
            #expect(other.request("/other")?.hasSuffix("/other") == true)
        }
        #expect(served.pool.look() == 1)
        #expect(held.isAtEnd())
        #expect(other.request("/other")?.hasSuffix("/other") == true)
        #expect(served.pool.look() == 1, "it still is, and is cut off once")
        released.raise()
        while served.pool.look() > 0 { sched_yield() }
        for _ in 0..<Limits().looks * 2 {
            #expect(served.pool.look() == 0, "an idle thread and a connection that is only kept are nobody's")
        }
        #expect(served.client().request("/again")?.hasSuffix("/again") == true)
    }

    @Test("A thread that rests stands in for one whose request hardly comes")
    func standingInForReaders() throws {
        let served = try Served(threads: 4, atWork: 1)
        let slow = (0..<3).map { _ in served.client() }
        for client in slow { client.send(Array(Record.request(["DOCUMENT_URI": "/slow"]).prefix(20))) }
        let begun = ContinuousClock.now
        #expect(served.client().request("/other") != nil)
        #expect(ContinuousClock.now - begun < .milliseconds(Limits().ioMilliseconds - 500))
    }

    @Test(
        "A body up to the limit arrives whole, whatever its records", arguments: [0, 1, 4095, 4096, 4097, 65535, 65536])
    func bodies(count: Int) throws {
        let served = try Served()
        let client = served.client()
        for piece in [65535, 1000, 7] where count < 5000 || piece > 7 {
            client.send(
                Record.request(["DOCUMENT_URI": "/x"], body: [UInt8](repeating: 65, count: count), piece: piece))
            #expect(client.receive()?.hasSuffix("/x \(count)") == true)
        }
    }

    @Test("A body beyond the limit is reported as too large, and the connection goes on")
    func tooLarge() throws {
        let served = try Served()
        let client = served.client()
        for count in [65537, 200_000, 1_000_000] {
            #expect(client.request("/x", body: [UInt8](repeating: 65, count: count))?.hasSuffix("too large") == true)
        }
        #expect(client.request("/y", body: [1, 2, 3])?.hasSuffix("/y 3") == true)
    }

    @Test("A body without end is cut off")
    func endless() throws {
        let served = try Served()
        let client = served.client()
        #expect(client.request("/x", body: [UInt8](repeating: 65, count: 3_000_000)) == nil)
        #expect(served.client().request("/y") != nil)
    }

    @Test("A request that dribbles in byte by byte is understood")
    func dribble() throws {
        let served = try Served()
        let client = served.client()
        for byte in Record.request(["REQUEST_METHOD": "GET", "DOCUMENT_URI": "/slow"], body: [1, 2, 3]) {
            client.send([byte])
        }
        #expect(client.receive()?.hasSuffix("get /slow 3") == true)
    }

    @Test("A request that stops half way frees its thread when its time is up")
    func halfRequest() throws {
        var limits = Limits()
        limits.ioMilliseconds = 200
        let served = try Served(threads: 1, limits: limits)
        let slow = served.client()
        slow.send(Array(Record.request(["DOCUMENT_URI": "/slow"]).prefix(20)))
        #expect(served.client().request("/other") != nil)
        #expect(slow.isAtEnd())
    }

    @Test("Another user's connection is closed unread")
    func foreignPeer() throws {
        let served = try Served(peers: [getuid() &+ 1])
        let client = served.client()
        client.send(Record.request(["DOCUMENT_URI": "/"]))
        #expect(client.receive() == nil)
        #expect(served.pool.status.foreign == 1)
    }

    @Test("A header field cannot smuggle another one")
    func headerInjection() throws {
        let served = try Served { exchange, _, _ in
            exchange.respond(status: 200, headers: [("Location", "/a\r\nSet-Cookie: b\u{0}"), ("X: y\r\nZ", "1")])
            return .answered
        }
        #expect(
            served.client().request("/") == "Status: 200\r\nLocation: /aSet-Cookie: b\r\nXyZ: 1\r\n\r\n")
    }

    @Test("A handler that answers nothing gives 500")
    func silentHandler() throws {
        let served = try Served { _, _, _ in .answered }
        #expect(served.client().request("/")?.hasPrefix("Status: 500\r\n") == true)
    }

    @Test("A long answer arrives whole")
    func longAnswer() throws {
        let text = String(repeating: "0123456789", count: 30_000)
        let served = try Served { exchange, _, _ in
            exchange.respond("Status: 200\r\n\r\n", body: Array(text.utf8))
            return .answered
        }
        #expect(served.client().request("/") == "Status: 200\r\n\r\n" + text)
    }

    @Test("Parameters are found by their whole name, the first one wins, repeats are counted")
    func parameters() throws {
        let served = try Served { exchange, _, _ in
            let found = [exchange.parameter("A"), exchange.parameter("AB"), exchange.parameter("HTTP_X")]
            let text = "\(found) \(exchange.parameterCount("HTTP_X")) \(exchange.path) \(exchange.query)"
            exchange.respond("Status: 200\r\n\r\n", body: Array(text.utf8))
            return .answered
        }
        let client = served.client()
        client.send(
            Record.request([
                "AB": "1", "HTTP_X": "", "HTTP_X": "2", "REQUEST_URI": "/raw%20path?q=1", "QUERY_STRING": "q=1",
            ]))
        #expect(client.receive()?.hasSuffix(#"[nil, Optional("1"), Optional("")] 2 /raw%20path [113, 61, 49]"#) == true)
    }
}
