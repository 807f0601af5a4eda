import CLibFuzzer
import Glibc

/// libFuzzer's command line (llvm.org/docs/LibFuzzer.html); FUZZ_TARGET names what it feeds.
@main
struct Driver {
    static let target: FuzzTarget = {
        guard let name = getenv("FUZZ_TARGET"), let target = FuzzTarget(rawValue: String(cString: name)) else {
            print(FuzzTarget.allCases.map(\.rawValue).joined(separator: "\n"))
            exit(64)
        }
        return target
    }()

    static func main() {
        _ = target
        Fuzz.prepare()
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
        exit(
            LLVMFuzzerRunDriver(&count, &arguments) { start, count in
                do {
                    _ = try Driver.target.run(Array(UnsafeBufferPointer(start: start, count: count)))
                } catch {
                    fatalError("\(error)")
                }
                return 0
            })
    }
}
