import Glibc

/// Which addresses a call may connect to. Asked for every address that a name resolves to, before the connection is
/// made: a check of the name alone is undone by whoever answers for the name.
enum AddressRule: Hashable, Sendable {
    /// `http` in development: this machine and nothing else.
    case loopback
    /// No special-use address (RFC 6890).
    case global
    case globalOrLoopback
    case any

    func allows(_ address: PeerAddress) -> Bool {
        switch self {
        case .loopback: address.isLoopback
        case .global: address.isGlobal
        case .globalOrLoopback: address.isGlobal || address.isLoopback
        case .any: true
        }
    }
}

/// An IPv4 or IPv6 address.
enum PeerAddress: Hashable, Sendable {
    case v4(UInt32)
    case v6(high: UInt64, low: UInt64)

    init?(_ address: UnsafePointer<sockaddr>, length: Int) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET where length >= MemoryLayout<sockaddr_in>.size:
            let numeric = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
            self = .v4(UInt32(bigEndian: numeric))
        case AF_INET6 where length >= MemoryLayout<sockaddr_in6>.size:
            let numeric = UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self).sin6_addr
            self = withUnsafeBytes(of: numeric) { PeerAddress(sixteen: $0) }
        default: return nil
        }
    }

    /// The textual forms of `inet_pton`, as curl reports a peer.
    init?(parsing text: String) {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self = .v4(UInt32(bigEndian: four.s_addr))
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            self = withUnsafeBytes(of: six) { PeerAddress(sixteen: $0) }
        } else {
            return nil
        }
    }

    private init(sixteen bytes: UnsafeRawBufferPointer) {
        self = .v6(
            high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }

    var isLoopback: Bool {
        switch self {
        case .v4(let address): address >> 24 == 127
        case .v6(high: 0, low: 1): true
        case .v6: embedded?.isLoopback ?? false
        }
    }

    /// Not special-use by the registries of RFC 6890, and not multicast.
    var isGlobal: Bool {
        switch self {
        case .v4(let address):
            return !Self.specialV4.contains { address >> (32 - $0.bits) == $0.network >> (32 - $0.bits) }
        case .v6(let high, _):
            if let embedded { return embedded.isGlobal }
            // Only 2000::/3 is handed out as global unicast, and not all of it.
            guard high >> 61 == 1 else { return false }
            return !Self.specialV6.contains { high >> (64 - $0.bits) == $0.network >> (64 - $0.bits) }
        }
    }

    /// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291), by NAT64 (RFC 6052), by 6to4 (RFC 3056).
    private var embedded: PeerAddress? {
        guard case .v6(let high, let low) = self else { return nil }
        let last = UInt32(truncatingIfNeeded: low)
        if high == 0, low >> 32 == 0xffff { return .v4(last) }
        if high == 0x0064_ff9b_0000_0000, low >> 32 == 0 { return .v4(last) }
        if high >> 48 == 0x2002 { return .v4(UInt32(truncatingIfNeeded: high >> 16)) }
        return nil
    }

    private static let specialV4: [(network: UInt32, bits: UInt32)] = [
        (0x0000_0000, 8),  // this network
        (0x0a00_0000, 8),  // private
        (0x6440_0000, 10),  // shared by carriers
        (0x7f00_0000, 8),  // loopback
        (0xa9fe_0000, 16),  // link-local, where clouds keep their metadata
        (0xac10_0000, 12),  // private
        (0xc000_0000, 24),  // protocol assignments
        (0xc000_0200, 24),  // documentation
        (0xc058_6300, 24),  // 6to4 relays
        (0xc0a8_0000, 16),  // private
        (0xc612_0000, 15),  // benchmarks
        (0xc633_6400, 24),  // documentation
        (0xcb00_7100, 24),  // documentation
        (0xe000_0000, 4),  // multicast
        (0xf000_0000, 4),  // reserved, broadcast
    ]

    private static let specialV6: [(network: UInt64, bits: UInt64)] = [
        (0x2001_0000_0000_0000, 23),  // protocol assignments, Teredo
        (0x2001_0db8_0000_0000, 32),  // documentation
        (0x3fff_0000_0000_0000, 20),  // documentation
    ]
}
