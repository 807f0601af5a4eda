import Testing

@testable import Encoding

@Suite struct InstantTests {
    @Test(
        "Known dates are written and read",
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-11-22T14:51:21Z", 1_795_359_081), ("2000-02-29T23:59:59Z", 951_868_799),
            ("1969-12-31T23:59:59Z", -1), ("0000-01-01T00:00:00Z", -62_167_219_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799), ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] as [(String, Int64)])
    func known(text: String, seconds: Int64) {
        #expect(Instant(milliseconds: seconds * 1000).rfc3339 == text)
        #expect(Instant(rfc3339: text)?.milliseconds == seconds * 1000)
    }

    @Test("Fractions, offsets, lower case and a leap second are read")
    func variants() {
        #expect(Instant(rfc3339: "1970-01-01T00:00:00.5Z")?.milliseconds == 500)
        #expect(Instant(rfc3339: "1970-01-01T00:00:00.123456789Z")?.milliseconds == 123)
        #expect(Instant(rfc3339: "1970-01-01t01:00:00+01:00")?.milliseconds == 0)
        #expect(Instant(rfc3339: "1969-12-31T23:30:00-00:30")?.milliseconds == 0)
        #expect(Instant(rfc3339: "1998-12-31T23:59:60Z") == Instant(rfc3339: "1999-01-01T00:00:00Z"))
    }

    @Test(
        "What is no date-time of RFC 3339 is refused",
        arguments: [
            "", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "1970-13-01T00:00:00Z",
            "1970-00-01T00:00:00Z", "1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "1970-01-32T00:00:00Z",
            "1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z", "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100", "1970-01-01T00:00:00+24:00", "1970-01-01T00:00:00Zx", "70-01-01T00:00:00Z",
            "1970-1-1T00:00:00Z", "+1970-01-01T00:00:00Z",
        ])
    func refused(text: String) {
        #expect(Instant(rfc3339: text) == nil)
    }

    @Test("Every day of eight centuries is the day after the one before")
    func everyDay() {
        var last = ""
        for day in -200_000...100_000 as ClosedRange<Int64> {
            let instant = Instant(milliseconds: day * 86_400_000)
            let text = instant.rfc3339
            #expect(text > last && Instant(rfc3339: text) == instant)
            last = text
        }
    }

    @Test("Seconds are rounded down, on both sides of zero")
    func seconds() {
        let start = Instant(milliseconds: 10_500)
        #expect(start.seconds(until: Instant(milliseconds: 12_499)) == 1)
        #expect(start.seconds(until: Instant(milliseconds: 12_500)) == 2)
        #expect(start.seconds(until: Instant(milliseconds: 10_499)) == -1)
        #expect(Instant(milliseconds: -1).rfc3339 == "1969-12-31T23:59:59Z")
    }

    @Test("Far away is far away, not a crash")
    func saturates() {
        #expect(Instant(milliseconds: 1).adding(seconds: .max).milliseconds == .max)
        #expect(Instant(milliseconds: -2).adding(seconds: .min).milliseconds == .min)
        #expect(Instant(milliseconds: .max).rfc3339 == "9999-12-31T23:59:59Z")
        #expect(Instant(milliseconds: .min).rfc3339 == "0000-01-01T00:00:00Z")
        #expect(Instant(milliseconds: .min).seconds(until: Instant(milliseconds: .max)) > 0)
    }
}

@Suite struct IDTests {
    let id = PersonID(high: 0x0001_0203_0405_0607, low: 0x0809_0A0B_0C0D_0E0F)

    @Test("The text is the prefix and 22 characters, and is read back")
    func text() {
        #expect(id.text == "u_AAECAwQFBgcICQoLDA0ODw")
        #expect(PersonID(parsing: id.text) == id)
        #expect(id.bytes == Array(0...15))
        #expect(PersonID(bytes: id.bytes) == id)
    }

    @Test(
        "Another kind, another length, another spelling is refused",
        arguments: [
            "v_AAECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcICQoLDA0ODw", "u_AAECAwQFBgcICQoLDA0OD",
            "u_AAECAwQFBgcICQoLDA0ODwA",
            "u_AAECAwQFBgcICQoLDA0ODx", "u_AAECAwQFBgcICQoLDA0OD=", "U_AAECAwQFBgcICQoLDA0ODw", "u_", "",
            "u_AAECAwQFBgcICQoLDA0O é",
        ])
    func refused(text: String) {
        #expect(PersonID(parsing: text) == nil)
    }

    @Test("Prefixes tell the kinds apart")
    func prefixes() {
        let prefixes = [
            PersonKind.prefix, VaultKind.prefix, SlotKind.prefix, ConnectionKind.prefix, PluginKind.prefix,
            RequestKind.prefix, OutcomeKind.prefix,
        ]
        #expect(Set(prefixes).count == prefixes.count)
        #expect(PersonID(bytes: [1, 2, 3]) == nil)
    }
}
