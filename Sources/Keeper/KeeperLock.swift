import Glibc

/// One keeper per database: what another had under way can only be judged once it is certain that it is gone. The kernel
/// lets go of the lock when its process ends, however it ends.
public struct KeeperLock: ~Copyable, Sendable {
    private let descriptor: Int32

    /// Waits for a keeper that is just leaving.
    public init(path: String, patienceMilliseconds: Int = 15_000) throws(Keeper.Failure) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system(call: "open", errno: errno) }
        var waited = 0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR, waited < patienceMilliseconds else {
                close(descriptor)
                throw .another(path: path)
            }
            usleep(20_000)
            waited += 20
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}
