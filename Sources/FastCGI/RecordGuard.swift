#if canImport(Glibc)
    import Glibc
#endif

/// Why a connection was closed without an answer.
public enum RecordViolation: Error, Equatable, Sendable {
    case version(UInt8)
    case unexpectedRecord(type: UInt8)
    case managementRecord(type: UInt8)
    case role(UInt16)
    case beginLength(Int)
    case multiplexed
    case padding(type: UInt8)
    case parameterName
    case parameterValue
    case parametersTooLarge
    case tooManyParameters
    case truncatedParameters
    case bytesAfterRequest
    case tooSlow
}

/// Follows the records of one request (FastCGI 1.0 §3.3, §5) byte by byte, before libfcgi sees them.
///
/// libfcgi trusts its peer: a FCGI_GET_VALUES that asks a hundred times smashes the stack (seen with Debian 12's 2.4.2),
/// and a parameter that claims two gigabytes is allocated before it is read. So nothing reaches its parser but the one
/// sequence that a web server sends: BEGIN_REQUEST, PARAMS … empty PARAMS, STDIN … empty STDIN, of one request.
struct RecordGuard {
    struct Bounds: Sendable {
        var parameterBytes = 128 * 1024
        var parameters = 256
        var nameBytes = 256
    }

    private enum Stage { case begin, parameters, body, complete }
    private enum Expected { case nameLength, nameLengthRest, valueLength, valueLengthRest, name, value }

    private let bounds: Bounds
    private var stage = Stage.begin
    private var requestID: UInt16 = 0

    private var header: UInt64 = 0
    private var headerBytes = 0
    private var content = 0
    private var padding = 0
    private var begin: UInt64 = 0

    private var expected = Expected.nameLength
    private var rest = 0
    private var nameLength = 0
    private var valueLength = 0
    private var parameterBytes = 0
    private var parameterCount = 0

    init(bounds: Bounds = Bounds()) {
        self.bounds = bounds
    }

    /// Whether the last record of the request was seen to its end.
    var isComplete: Bool { stage == .complete && padding == 0 }

    /// Takes the next bytes of the connection, however they were cut.
    mutating func admit(_ bytes: UnsafeRawBufferPointer) throws(RecordViolation) {
        var position = 0
        while position < bytes.count {
            if content > 0 {
                let count = min(content, bytes.count - position)
                content -= count
                try admitContent(UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
                position += count
            } else if padding > 0 {
                let count = min(padding, bytes.count - position)
                padding -= count
                position += count
            } else {
                if stage == .complete { throw .bytesAfterRequest }
                header = header << 8 | UInt64(bytes[position])
                headerBytes += 1
                position += 1
                if headerBytes == 8 {
                    headerBytes = 0
                    try admitHeader()
                }
            }
        }
    }

    /// §3.3: version, type, requestId (2), contentLength (2), paddingLength, reserved.
    ///
    /// Where libfcgi begins another stream it forgets that padding is still to come, and reads it as records that were
    /// never looked at here. No web server pads those two.
    private mutating func admitHeader() throws(RecordViolation) {
        let version = UInt8(truncatingIfNeeded: header >> 56)
        let type = UInt8(truncatingIfNeeded: header >> 48)
        let identifier = UInt16(truncatingIfNeeded: header >> 32)
        content = Int(UInt16(truncatingIfNeeded: header >> 16))
        padding = Int(UInt8(truncatingIfNeeded: header >> 8))
        guard version == 1 else { throw .version(version) }
        guard identifier != 0 else { throw .managementRecord(type: type) }
        switch (stage, type) {
        case (.begin, 1):
            guard content == 8 else { throw .beginLength(content) }
            guard padding == 0 else { throw .padding(type: type) }
            requestID = identifier
        case (.parameters, 4):
            guard identifier == requestID else { throw .multiplexed }
            if content == 0 {
                guard expected == .nameLength else { throw .truncatedParameters }
                guard padding == 0 else { throw .padding(type: type) }
                stage = .body
            }
        case (.body, 5):
            guard identifier == requestID else { throw .multiplexed }
            if content == 0 { stage = .complete }
        case (_, 1) where identifier != requestID:
            throw .multiplexed
        default:
            throw .unexpectedRecord(type: type)
        }
    }

    private mutating func admitContent(_ bytes: UnsafeRawBufferPointer) throws(RecordViolation) {
        switch stage {
        case .begin:
            for byte in bytes { begin = begin << 8 | UInt64(byte) }
            guard content == 0 else { return }
            let role = UInt16(truncatingIfNeeded: begin >> 48)
            guard role == 1 else { throw .role(role) }
            stage = .parameters
        case .parameters:
            parameterBytes += bytes.count
            guard parameterBytes <= bounds.parameterBytes else { throw .parametersTooLarge }
            try admitParameters(bytes)
        case .body, .complete:
            return
        }
    }

    /// §3.4 name-value pairs, which may be cut anywhere by record boundaries.
    private mutating func admitParameters(_ bytes: UnsafeRawBufferPointer) throws(RecordViolation) {
        var position = 0
        while position < bytes.count {
            switch expected {
            case .nameLength:
                let byte = Int(bytes[position])
                position += 1
                nameLength = byte & 0x7F
                rest = 3
                expected = byte < 0x80 ? .valueLength : .nameLengthRest
            case .nameLengthRest:
                nameLength = nameLength << 8 | Int(bytes[position])
                position += 1
                rest -= 1
                if rest == 0 { expected = .valueLength }
            case .valueLength:
                let byte = Int(bytes[position])
                position += 1
                valueLength = byte & 0x7F
                rest = 3
                if byte < 0x80 { try beginName() } else { expected = .valueLengthRest }
            case .valueLengthRest:
                valueLength = valueLength << 8 | Int(bytes[position])
                position += 1
                rest -= 1
                if rest == 0 { try beginName() }
            case .name:
                position += try admitText(bytes, from: position, isName: true)
                if rest == 0 {
                    rest = valueLength
                    expected = valueLength == 0 ? .nameLength : .value
                }
            case .value:
                position += try admitText(bytes, from: position, isName: false)
                if rest == 0 { expected = .nameLength }
            }
        }
    }

    /// Both lengths are known and nothing was allocated for them yet.
    private mutating func beginName() throws(RecordViolation) {
        parameterCount += 1
        guard parameterCount <= bounds.parameters else { throw .tooManyParameters }
        guard nameLength > 0, nameLength <= bounds.nameBytes else { throw .parameterName }
        guard valueLength <= bounds.parameterBytes else { throw .parametersTooLarge }
        rest = nameLength
        expected = .name
    }

    /// libfcgi keeps `name=value` as a C string: a NUL would cut it, an `=` in the name would make it another name.
    private mutating func admitText(
        _ bytes: UnsafeRawBufferPointer, from position: Int, isName: Bool
    ) throws(RecordViolation) -> Int {
        let count = min(rest, bytes.count - position)
        guard let start = bytes.baseAddress?.advanced(by: position) else { return count }
        if memchr(start, 0, count) != nil { throw isName ? .parameterName : .parameterValue }
        if isName, memchr(start, 0x3D, count) != nil { throw .parameterName }
        rest -= count
        return count
    }
}
