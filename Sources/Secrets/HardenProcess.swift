import CLinux
import Glibc

/// No core dumps, and no reading of this process's memory or environment by others of the same user: first thing in main.
public func hardenProcess() {
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    // Can only fail for values other than 0 and 1 (prctl(2)).
    _ = clinux_prctl(PR_SET_DUMPABLE, 0)
}
