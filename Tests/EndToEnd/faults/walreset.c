/* walreset DATABASE STEPS bare|guarded: the WAL-reset bug of SQLite 3.7.0 to 3.51.2 (sqlite.org/wal.html), forced.
 *
 * One process checkpoints, as any autocheckpoint does or as the keeper does, and is halted STEPS instructions after it has
 * got the lock for checkpoints. Meanwhile the other commits, where it may, which begins the WAL anew. Then the first goes on,
 * the WAL grows, and is copied back and begun anew once more. Says "kept", "refused" when the other was not let in, or "lost"
 * with the number of commits that are gone or "lost everything" where the file is no longer whole. x86-64 and arm64. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, "walreset: %s: %s\n", what, strerror(errno));
    exit(1);
}

static sqlite3 *open_at(const char *path) {
    sqlite3 *database;
    if (sqlite3_open(path, &database) != SQLITE_OK) die(path);
    sqlite3_exec(database, "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF", NULL, NULL, NULL);
    return database;
}

/* Whether it was done; SQLITE_BUSY is a no, anything else the end. */
static int done(sqlite3 *database, const char *sql) {
    int code = sqlite3_exec(database, sql, NULL, NULL, NULL);
    if (code != SQLITE_OK && code != SQLITE_BUSY) fprintf(stderr, "walreset: %s: %s\n", sql, sqlite3_errmsg(database)), exit(1);
    return code == SQLITE_OK;
}

static long number(sqlite3 *database, const char *sql) {
    sqlite3_stmt *statement;
    long found = -1;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        found = (long)sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return found;
}

static int checkpoint(const char *path, int guarded) {
    sqlite3 *holder = open_at(path), *worker = open_at(path);
    /* So that nothing of the schema is read between the lock and the copy. */
    number(worker, "SELECT count(*) FROM ledger");
    if (guarded) done(holder, "BEGIN IMMEDIATE");
    raise(SIGSTOP);
    done(worker, "PRAGMA wal_checkpoint(PASSIVE)");
    if (guarded) done(holder, "ROLLBACK");
    return 0;
}

/* Runs the child to the end of the system call that gets the lock for checkpoints: byte 121 of the shared memory, after 120
 * for writers (wal.c, WALINDEX_LOCK_OFFSET). */
static void until_locked(pid_t child) {
    for (int status;;) {
        if (ptrace(PTRACE_SYSCALL, child, 0, 0) || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) die("trace");
        struct __ptrace_syscall_info info;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) continue;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) die("system call");
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_fcntl || info.entry.args[1] != F_SETLK) continue;
        struct flock lock;
        struct iovec here = {&lock, sizeof lock}, there = {(void *)info.entry.args[2], sizeof lock};
        if (process_vm_readv(child, &here, 1, &there, 1, 0) != sizeof lock) die("lock");
        if (lock.l_type != F_WRLCK || lock.l_start != 121) continue;
        if (ptrace(PTRACE_SYSCALL, child, 0, 0) || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) die("trace");
        return;
    }
}

int main(int count, char **arguments) {
    if (count != 4) return fprintf(stderr, "walreset DATABASE STEPS bare|guarded\n"), 64;
    const char *path = arguments[1];
    int guarded = !strcmp(arguments[3], "guarded");
    if (!strcmp(arguments[2], "checkpoint")) return checkpoint(path, guarded);

    /* What the child does must not share SQLite's locks with us: it is another program. */
    sqlite3 *writer = open_at(path);
    long committed = 0;
    done(writer, "PRAGMA journal_mode = WAL");
    done(writer, "CREATE TABLE ledger (entry BLOB)");
    while (committed < 8) committed += done(writer, "INSERT INTO ledger VALUES (randomblob(9000))");

    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execl("/proc/self/exe", "walreset", path, "checkpoint", arguments[3], NULL);
        _exit(1);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) die("fork");
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    /* Everything is copied back before, or a commit would not begin the WAL anew. */
    do {
        if (ptrace(PTRACE_CONT, child, 0, 0) || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) die("start");
    } while (WSTOPSIG(status) != SIGSTOP);
    if (!guarded) done(writer, "PRAGMA wal_checkpoint(PASSIVE)");
    until_locked(child);
    for (long step = atol(arguments[2]); step > 0; step--)
        if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) die("step");

    int let_in = done(writer, "INSERT INTO ledger VALUES (randomblob(9000))");
    committed += let_in;
    ptrace(PTRACE_DETACH, child, 0, 0);
    if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) die("checkpoint");

    /* Past the frames that the first took for copied, then copied back and begun anew, as days of work would. */
    for (int i = 0; i < 40; i++) committed += done(writer, "INSERT INTO ledger VALUES (randomblob(9000))");
    for (int i = 0; i < 2; i++) {
        done(writer, "PRAGMA wal_checkpoint(TRUNCATE)");
        committed += done(writer, "INSERT INTO ledger VALUES (randomblob(9000))");
    }
    sqlite3_close(writer);
    sqlite3 *reader = open_at(path);
    long there = number(reader, "SELECT count(*) FROM ledger WHERE length(entry) = 9000");
    long whole = number(reader, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'");
    if (there < 0 || whole != 1) puts("lost everything");
    else if (there < committed) printf("lost %ld\n", committed - there);
    else puts(let_in ? "kept" : "refused");
    return 0;
}
