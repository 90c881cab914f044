#ifndef CLINUX_PROCESS_H
#define CLINUX_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Every function returns a result >= 0, or -1 with errno set, unless it says otherwise.

/// `from` becomes `to` in the child.
struct clinux_fd_mapping {
  int from;
  int to;
};

enum {
  CLINUX_SPAWN_NEW_SESSION = 1,
  CLINUX_SPAWN_NEW_GROUP = 2,
};

/// posix_spawn with signal mask and dispositions reset and no descriptor inherited but those mapped, whose `from` must
/// all be above every `to`. Returns 0 or an errno value.
int clinux_spawn(
    const char *path, char *const argv[], char *const envp[], const char *directory,
    const struct clinux_fd_mapping *mappings, size_t count, int flags, pid_t *pid);

/// A pidfd, close-on-exec.
int clinux_pidfd_open(pid_t pid);
/// Limits the size of every file that a child, and what it starts from then on, writes (RLIMIT_FSIZE).
int clinux_limit_file_size(pid_t pid, uint64_t bytes);
int clinux_pidfd_send_signal(int pidfd, int signal);

/// Reaps the child behind `pidfd`. 1: reaped, `code` is a CLD_ value and `status` the exit code or signal; 0: it still runs.
int clinux_wait_pidfd(int pidfd, int *code, int *status);

/// Catches SIGTERM and SIGINT for the whole process, whichever thread they come to, and ignores SIGPIPE. SIGHUP is caught
/// when `hang_up` is not 0 and it was not ignored before; otherwise it is ignored.
/// Returns a descriptor from which each caught signal's number is read as one byte.
int clinux_catch_termination(int hang_up);

/// epoll without its packed struct. The descriptors are close-on-exec.
int clinux_epoll_create(void);
int clinux_eventfd(void);
/// Waits for input (and hang-up) or, when `for_output` is not 0, for room to write.
int clinux_epoll_add(int epoll, int fd, int for_output, uint64_t token);
int clinux_epoll_delete(int epoll, int fd);
int clinux_epoll_wait(int epoll, uint64_t *tokens, int count, int timeout_milliseconds);

int clinux_setns(int fd, int kind);
int clinux_unshare(int flags);
/// Sets the interface `lo` of the calling thread's network namespace up.
int clinux_loopback_up(void);
/// Makes 127.0.0.0/8 unreachable by any other interface than `lo` in the calling thread's network namespace: a socket
/// bound to such an interface would else send packets for these addresses out by it.
int clinux_confine_loopback(void);

/// Whether the path is on a file system of that type (statfs(2)): 1 or 0.
int clinux_is_of_type(const char *path, unsigned long magic);
/// At most 15 bytes.
void clinux_set_thread_name(const char *name);
/// malloc_trim(3): gives what is free at the ends of the heap, and whole pages within, back to the kernel.
void clinux_trim_heap(void);

/// What one message carries at most; the kernel's own limit (SCM_MAX_FD) is 253.
enum { CLINUX_PASSED_FDS_MAX = 64 };
/// Sends bytes, at least one, and with the first of them descriptors (SCM_RIGHTS). Returns how many bytes were sent.
ssize_t clinux_send_fds(int socket, const void *data, size_t size, const int *fds, size_t count);
/// Receives bytes and the descriptors that came with them, close-on-exec; `fds` has room for CLINUX_PASSED_FDS_MAX. One
/// message with more is EMSGSIZE, and none of its descriptors stays open. Returns how many bytes there were, 0 at the end.
ssize_t clinux_receive_fds(int socket, void *data, size_t size, int *fds, size_t *count);
/// The same of a message with exactly one descriptor.
int clinux_receive_fd(int socket);
/// The user of the process at the other end of a unix socket, as it was when they were connected (SO_PEERCRED).
int clinux_peer_user(int socket, uid_t *user);
/// accept4(2), close-on-exec and non-blocking.
int clinux_accept(int socket);

int clinux_set_window_size(int terminal, uint16_t columns, uint16_t rows);
int clinux_set_nonblocking(int fd);
/// A pipe, both ends close-on-exec.
int clinux_pipe(int ends[2]);

/// Whether somebody keeps the clock right (adjtimex(2), `TIME_ERROR`); true where that cannot be asked.
int clinux_clock_is_kept(void);
#endif
