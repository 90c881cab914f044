#define _GNU_SOURCE
#include "CLinuxProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

int clinux_spawn(
    const char *path, char *const argv[], char *const envp[], const char *directory,
    const struct clinux_fd_mapping *mappings, size_t count, int flags, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  error = posix_spawnattr_init(&attributes);
  if (error) {
    posix_spawn_file_actions_destroy(&actions);
    return error;
  }
  int highest = -1;
  for (size_t i = 0; i < count && !error; i++) {
    error = posix_spawn_file_actions_adddup2(&actions, mappings[i].from, mappings[i].to);
    if (mappings[i].to > highest) highest = mappings[i].to;
  }
  // Between the targets, too: somebody may have opened a file without close-on-exec.
  for (int fd = 3; fd < highest && !error; fd++) {
    int is_target = 0;
    for (size_t i = 0; i < count; i++) is_target |= mappings[i].to == fd;
    if (!is_target) error = posix_spawn_file_actions_addclose(&actions, fd);
  }
  if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1);
  if (!error && directory) error = posix_spawn_file_actions_addchdir_np(&actions, directory);

  short spawn_flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (flags & CLINUX_SPAWN_NEW_SESSION) spawn_flags |= POSIX_SPAWN_SETSID;
  if (flags & CLINUX_SPAWN_NEW_GROUP) spawn_flags |= POSIX_SPAWN_SETPGROUP;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error) error = posix_spawnattr_setpgroup(&attributes, 0);
  if (!error) error = posix_spawnattr_setflags(&attributes, spawn_flags);
  if (!error) error = posix_spawn(pid, path, &actions, &attributes, argv, envp);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int clinux_pidfd_send_signal(int pidfd, int signal) {
  return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int clinux_wait_pidfd(int pidfd, int *code, int *status) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int result;
  do {
    result = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
  } while (result < 0 && errno == EINTR);
  if (result < 0) return -1;
  if (info.si_pid == 0) return 0;
  *code = info.si_code;
  *status = info.si_status;
  return 1;
}

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int clinux_epoll_add(int epoll, int fd, int for_output, uint64_t token) {
  struct epoll_event event = {.events = for_output ? EPOLLOUT : EPOLLIN | EPOLLRDHUP, .data = {.u64 = token}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int clinux_epoll_delete(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int clinux_epoll_wait(int epoll, uint64_t *tokens, int count, int timeout_milliseconds) {
  struct epoll_event buffer[64];
  if (count > 64) count = 64;
  int ready = epoll_wait(epoll, buffer, count, timeout_milliseconds);
  for (int i = 0; i < ready; i++) tokens[i] = buffer[i].data.u64;
  return ready;
}

int clinux_setns(int fd, int kind) { return setns(fd, kind); }

int clinux_limit_file_size(pid_t pid, uint64_t bytes) {
  struct rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
  return prlimit(pid, RLIMIT_FSIZE, &limit, NULL);
}

int clinux_unshare(int flags) { return unshare(flags); }

int clinux_loopback_up(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, "lo");
  int result = ioctl(fd, SIOCGIFFLAGS, &request);
  if (result == 0) {
    request.ifr_flags |= IFF_UP;
    result = ioctl(fd, SIOCSIFFLAGS, &request);
  }
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

int clinux_confine_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct rtentry route;
  memset(&route, 0, sizeof route);
  struct sockaddr_in *destination = (struct sockaddr_in *)&route.rt_dst;
  struct sockaddr_in *mask = (struct sockaddr_in *)&route.rt_genmask;
  destination->sin_family = mask->sin_family = AF_INET;
  destination->sin_addr.s_addr = htonl(0x7F000000);
  mask->sin_addr.s_addr = htonl(0xFF000000);
  route.rt_flags = RTF_UP | RTF_REJECT;
  int result = ioctl(fd, SIOCADDRT, &route);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

int clinux_is_of_type(const char *path, unsigned long magic) {
  struct statfs info;
  return statfs(path, &info) == 0 && (unsigned long)info.f_type == magic;
}

void clinux_trim_heap(void) { malloc_trim(0); }

void clinux_set_thread_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

ssize_t clinux_send_fds(int socket, const void *data, size_t size, const int *fds, size_t count) {
  if (count > CLINUX_PASSED_FDS_MAX) {
    errno = EINVAL;
    return -1;
  }
  struct iovec part = {.iov_base = (void *)data, .iov_len = size};
  union {
    char bytes[CMSG_SPACE(sizeof(int) * CLINUX_PASSED_FDS_MAX)];
    struct cmsghdr header;
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

ssize_t clinux_receive_fds(int socket, void *data, size_t size, int *fds, size_t *count) {
  *count = 0;
  struct iovec part = {.iov_base = data, .iov_len = size};
  union {
    char bytes[CMSG_SPACE(sizeof(int) * CLINUX_PASSED_FDS_MAX)];
    struct cmsghdr header;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t received;
  do {
    received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return -1;
  // The kernel has put at most as many into the table of this process as there is room for here.
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t bytes = header->cmsg_len - CMSG_LEN(0);
    memcpy(fds + *count, CMSG_DATA(header), bytes);
    *count += bytes / sizeof(int);
  }
  if (message.msg_flags & MSG_CTRUNC) {
    for (size_t i = 0; i < *count; i++) close(fds[i]);
    *count = 0;
    errno = EMSGSIZE;
    return -1;
  }
  return received;
}

int clinux_receive_fd(int socket) {
  char data[4096];
  int fds[CLINUX_PASSED_FDS_MAX];
  size_t count;
  if (clinux_receive_fds(socket, data, sizeof data, fds, &count) < 0) return -1;
  if (count == 1) return fds[0];
  for (size_t i = 0; i < count; i++) close(fds[i]);
  errno = EPROTO;
  return -1;
}

int clinux_peer_user(int socket, uid_t *user) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -1;
  *user = peer.uid;
  return 0;
}

int clinux_accept(int socket) { return accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int clinux_set_window_size(int terminal, uint16_t columns, uint16_t rows) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  return ioctl(terminal, TIOCSWINSZ, &size);
}

int clinux_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -1;
  return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

static int termination_pipe[2] = {-1, -1};

static void on_termination(int signal) {
  int saved = errno;
  unsigned char number = (unsigned char)signal;
  // A full pipe already holds more signals than anybody will read.
  (void)!write(termination_pipe[1], &number, 1);
  errno = saved;
}

int clinux_catch_termination(int hang_up) {
  if (pipe2(termination_pipe, O_CLOEXEC) < 0) return -1;
  if (fcntl(termination_pipe[1], F_SETFL, O_NONBLOCK) < 0) return -1;
  struct sigaction action = {.sa_handler = on_termination, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGTERM, &action, NULL) < 0 || sigaction(SIGINT, &action, NULL) < 0) return -1;
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  if (sigaction(SIGPIPE, &ignore, NULL) < 0) return -1;
  struct sigaction before;
  if (sigaction(SIGHUP, &ignore, &before) < 0) return -1;
  // nohup(1) has it ignored already.
  if (hang_up && before.sa_handler != SIG_IGN && sigaction(SIGHUP, &action, NULL) < 0) return -1;
  return termination_pipe[0];
}

int clinux_clock_is_kept(void) {
  struct timex report = {0};
  return adjtimex(&report) != TIME_ERROR;
}
