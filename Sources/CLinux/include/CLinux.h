// What Swift's Glibc module does not offer. Every declaration below gives its reason.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <spawn.h>        // posix_spawn_file_actions_t
#include <sys/epoll.h>    // epoll_*: not part of Glibc's module map
#include <sys/eventfd.h>  // eventfd: the same
#include <sys/prctl.h>    // PR_* constants; the call itself is variadic, see below
#include <sys/signalfd.h> // signalfd: not part of the module map
#include <sys/socket.h>
#include <sys/timerfd.h>  // timerfd_*: the same
#include <sys/un.h>

// accept4 is a GNU extension, hidden unless _GNU_SOURCE was set when the Glibc module was built.
int clinux_accept(int listener);

// struct ucred is a GNU extension. Returns 0 and the peer's uid and pid (unix(7), SO_PEERCRED), or -1.
int clinux_peer(int socket, uid_t *uid, pid_t *pid);

// prctl is variadic, and Swift imports no variadic functions.
int clinux_prctl(int option, unsigned long argument);

// posix_spawn_file_actions_addclosefrom_np is a GNU extension.
int clinux_spawn_close_from(posix_spawn_file_actions_t *actions, int from);

// CMSG_* are macros (cmsg(3)). Sends one datagram with up to 8 descriptors; MSG_NOSIGNAL.
ssize_t clinux_send(int socket, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count);

// The counterpart. `descriptor_count` holds the room on entry and what came on return; all are close-on-exec.
// A datagram that was cut short (data or descriptors) is -1 with EMSGSIZE, and what came with it is closed.
ssize_t clinux_receive(int socket, void *bytes, size_t count, int *descriptors, size_t *descriptor_count, int flags);

// pidfd_open has no wrapper in every glibc that we meet; -1 with ENOSYS where the kernel lacks it.
int clinux_pidfd_open(pid_t pid);

// FIONREAD is a macro, ioctl variadic: how many bytes wait in the receive queue, or -1.
int clinux_waiting_bytes(int socket);

// poll(2) without waiting: 1 when a read (or, on a listener, an accept) would not block, else 0.
int clinux_readable(int descriptor);

// A C11 thread-local, which Swift has none of: what the thread that calls into libfcgi is reading at the moment.
void *clinux_thread_slot(void);
void clinux_set_thread_slot(void *value);

// explicit_bzero is not in the module map: a memset that no optimizer removes.
void clinux_wipe(void *bytes, size_t count);

// Overwrites what earlier calls left below this one on the thread's stack: registers of ciphers, copies of small values.
void clinux_wipe_stack(void);

// `extern char **environ` is a mutable global, which Swift 6 refuses to touch.
char **clinux_environment(void);

// fallocate and FALLOC_FL_KEEP_SIZE are GNU extensions. Room beyond the end of a file, which keeps its length; 0, or -1.
int clinux_reserve(int descriptor, off_t offset, off_t length);

// Atomic operations on memory that several processes share; Swift's own are for variables of one. The exchange leaves
// what it found in `expected` when that was another value.
uint64_t clinux_load(const uint64_t *cell);
_Bool clinux_exchange(uint64_t *cell, uint64_t *expected, uint64_t desired);
