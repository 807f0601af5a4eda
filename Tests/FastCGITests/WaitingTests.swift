import CLinux
import Glibc
import Testing

@testable import FastCGI

@Suite struct WaitingTests {
    @Test("A request that waits blocks no thread, and gets its answer")
    func setAside() throws {
        let served = try Served(threads: 1)
        let waiting = (0..<100).map { _ in served.client() }
        let request = Record.request(["DOCUMENT_URI": "/wait"], body: [1])
        for client in waiting { client.send(request) }
        let tickets = waiting.map { _ in served.tickets.next() }
        #expect(served.client().request("/fast") != nil)
        #expect(served.pool.status.setAside == 100)
        for (number, ticket) in tickets.enumerated() {
            #expect(served.pool.resume(ticket, with: .text("answer \(number)")))
        }
        let answers = Set(waiting.map { $0.receive() ?? "" })
        #expect(answers == Set((0..<100).map { "Status: 200\r\n\r\nanswer \($0)" }))
        for client in waiting { #expect(client.request("/again") != nil) }
        #expect(served.pool.status.setAside == 0)
    }

    @Test("What waits too long is answered at its deadline, and a later answer is refused")
    func deadline() throws {
        var limits = Limits()
        limits.setAsideMilliseconds = 120
        let served = try Served(limits: limits)
        #expect(served.client().request("/wait")?.hasSuffix("late") == true)
        #expect(!served.pool.resume(served.tickets.next(), with: .text("too late")))
    }

    @Test("Only so many may wait; the next is answered at once")
    func bound() throws {
        var limits = Limits()
        limits.setAside = 3
        let served = try Served(limits: limits)
        let waiting = (0..<3).map { _ in served.client() }
        for client in waiting { client.send(Record.request(["DOCUMENT_URI": "/wait"])) }
        let tickets = waiting.map { _ in served.tickets.next() }
        #expect(served.client().request("/wait")?.hasSuffix("full") == true)
        for ticket in tickets { served.pool.resume(ticket, with: .text("now")) }
        for client in waiting { #expect(client.receive()?.hasSuffix("now") == true) }
        #expect(!served.pool.resume(tickets[0], with: .text("twice")))
    }

    @Test("An answer that comes before the handler has returned is taken up")
    func earlyAnswer() throws {
        let served = try Served { exchange, pool, _ in
            guard let ticket = pool.setAside(exchange, otherwise: .late) else { return .answered }
            pool.resume(ticket, with: .text("early"))
            return .setAside
        }
        let client = served.client()
        for _ in 0..<20 { #expect(client.request("/")?.hasSuffix("early") == true) }
    }

    @Test("A handler may answer although it asked")
    func answeredAnyway() throws {
        let served = try Served { exchange, pool, tickets in
            if let ticket = pool.setAside(exchange, otherwise: .late) { tickets.add(ticket) }
            exchange.respond("Status: 200\r\n\r\n", body: Array("direct".utf8))
            return .answered
        }
        let client = served.client()
        for _ in 0..<20 { #expect(client.request("/")?.hasSuffix("direct") == true) }
        #expect(served.pool.status.setAside == 0)
        #expect(!served.pool.resume(served.tickets.next(), with: .text("no")))
    }

    @Test("Who waits and leaves harms nobody")
    func leaving() throws {
        let served = try Served()
        var client: Client? = served.client()
        client?.send(Record.request(["DOCUMENT_URI": "/wait"]))
        let ticket = served.tickets.next()
        client = nil
        #expect(served.pool.resume(ticket, with: .text("nobody")))
        #expect(served.client().request("/") != nil)
    }
}

@Suite struct DrainingTests {
    @Test("A drained pool answers what is in flight, what waits included, and then ends")
    func inFlight() throws {
        let served = try Served()
        let idle = served.client()
        #expect(idle.request("/") != nil)
        let waiting = served.client()
        waiting.send(Record.request(["DOCUMENT_URI": "/wait"]))
        let ticket = served.tickets.next()
        served.pool.drain()
        #expect(idle.isAtEnd())
        served.pool.resume(ticket, with: .text("done"))
        #expect(waiting.receive()?.hasSuffix("done") == true)
        #expect(waiting.isAtEnd())
        served.waitForEnd()
        #expect(served.pool.status.open == 0)
    }

    @Test("A drained pool leaves new connections to its successor")
    func successor() throws {
        let served = try Served()
        served.pool.drain()
        served.waitForEnd()
        let client = served.client()
        client.send(Record.request(["DOCUMENT_URI": "/"]))
        #expect(clinux_readable(client.descriptor) == 0)
    }

    @Test("A pool without a successor answers its queue first")
    func backlog() throws {
        let served = try Served { exchange, _, _ in
            exchange.respond("Status: 200\r\n\r\n")
            return .answered
        }
        let clients = (0..<20).map { _ in served.client() }
        for client in clients { client.send(Record.request(["DOCUMENT_URI": "/"])) }
        served.pool.drain(backlog: true)
        for client in clients { #expect(client.receive() != nil) }
        served.waitForEnd()
    }

    @Test("Out of descriptors is a pause, not the end")
    func outOfConnections() throws {
        var limits = Limits()
        limits.connections = 4
        let served = try Served(limits: limits)
        var clients = (0..<40).map { _ in served.client() }
        for client in clients { client.send(Record.request(["DOCUMENT_URI": "/"], keep: false)) }
        while let client = clients.popLast() { #expect(client.receive() != nil) }
        #expect(served.client().request("/") != nil)
    }
}
