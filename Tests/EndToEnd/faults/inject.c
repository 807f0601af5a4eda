/* inject PID CALL kill|hold|ERRNO N|N+: lets the Nth system call CALL of a running process, counted over all its threads, be
 * its last, never return to its thread, or fail with ERRNO; "N+" means that one and all that follow. Says "attached", then "struck" each time.
 *
 * strace can do the same, but counts for each thread by itself, and on some kernels it goes to sleep beside threads that it
 * has stopped. The kernel lets everybody go when this process ends. x86-64 and arm64. */
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

static const struct { const char *name; long number; } calls[] = {
    {"pwrite64", SYS_pwrite64}, {"fdatasync", SYS_fdatasync}, {"fsync", SYS_fsync}, {"ftruncate", SYS_ftruncate},
    {"write", SYS_write}, {"writev", SYS_writev}, {"sendto", SYS_sendto}, {"sendmsg", SYS_sendmsg},
    {"recvfrom", SYS_recvfrom}, {"openat", SYS_openat}, {"accept4", SYS_accept4}, {"mmap", SYS_mmap}, {"brk", SYS_brk},
    {"mprotect", SYS_mprotect},
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Threads that were refused a call and have yet to see what came of it. */
static pid_t refused[1024];

static pid_t *place(pid_t thread) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i] == thread) return refused + i;
    return NULL;
}

static void set_number(pid_t thread, long number) {
#if defined(__x86_64__)
    if (ptrace(PTRACE_POKEUSER, thread, offsetof(struct user_regs_struct, orig_rax), number)) die("POKEUSER");
#else
    struct iovec io = {&(int){(int)number}, sizeof(int)};
    if (ptrace(PTRACE_SETREGSET, thread, 0x404 /* NT_ARM_SYSTEM_CALL */, &io)) die("SETREGSET");
#endif
}

static void set_result(pid_t thread, long result) {
    struct user_regs_struct registers;
    struct iovec io = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &io)) die("GETREGSET");
#if defined(__x86_64__)
    registers.rax = (unsigned long)result;
#else
    registers.regs[0] = (unsigned long)result;
#endif
    if (ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &io)) die("SETREGSET");
}

/* Attaches to every thread that there is, until there is none that is new. */
static void seize(pid_t process) {
    char path[64];
    static char seen[1 << 22];
    snprintf(path, sizeof path, "/proc/%d/task", process);
    for (int found = 1; found;) {
        found = 0;
        DIR *folder = opendir(path);
        if (!folder) die(path);
        for (struct dirent *entry; (entry = readdir(folder));) {
            pid_t thread = atoi(entry->d_name);
            if (thread <= 0 || seen[thread]) continue;
            seen[thread] = found = 1;
            if (ptrace(PTRACE_SEIZE, thread, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)) {
                /* It was made by one that is traced already, or has gone. */
                if (errno != EPERM && errno != ESRCH) die("SEIZE");
                continue;
            }
            if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) && errno != ESRCH) die("INTERRUPT");
        }
        closedir(folder);
    }
}

int main(int count, char **arguments) {
    if (count != 5) return fprintf(stderr, "inject PID CALL kill|hold|ERRNO N|N+\n"), 64;
    setvbuf(stdout, NULL, _IOLBF, 0);
    pid_t process = atoi(arguments[1]);
    long number = -1;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, arguments[2])) number = calls[i].number;
    if (number < 0) return fprintf(stderr, "inject: %s is not among its calls\n", arguments[2]), 64;
    int kills = !strcmp(arguments[3], "kill"), holds = !strcmp(arguments[3], "hold"), code = atoi(arguments[3]);
    char *rest;
    long first = strtol(arguments[4], &rest, 10), seen = 0;
    int onwards = *rest == '+';

    seize(process);
    puts("attached");
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR) continue;
        if (thread < 0) return 0;
        if (!WIFSTOPPED(status)) continue;
        int stopped = WSTOPSIG(status), event = status >> 16, signal = 0;
        if (stopped == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info;
            if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) continue;
            pid_t *waiting = place(thread);
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY && (long)info.entry.nr == number) {
                seen++;
                if (seen == first || (onwards && seen > first)) {
                    puts("struck");
                    if (kills) {
                        kill(process, SIGKILL);
                        continue;
                    }
                    if (holds) continue;
                    set_number(thread, -1);
                    if (!waiting) *place(0) = thread;
                }
            } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && waiting) {
                set_result(thread, -code);
                *waiting = 0;
            }
        } else if (event == PTRACE_EVENT_STOP && (stopped == SIGSTOP || stopped == SIGTSTP || stopped == SIGTTIN || stopped == SIGTTOU)) {
            ptrace(PTRACE_LISTEN, thread, 0, 0);
            continue;
        } else if (!event) {
            signal = stopped;
        }
        if (ptrace(PTRACE_SYSCALL, thread, 0, signal) && errno != ESRCH) die("SYSCALL");
    }
}
