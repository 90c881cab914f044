#define _GNU_SOURCE
#include "CLinuxSourceTree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int clinux_open_in_root(int directory, const char *path, uint64_t flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd = -1;
  // EAGAIN: a rename elsewhere raced with the check of `..`; the man page asks to try again.
  for (int attempt = 0; attempt < 16; attempt++) {
    fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

ssize_t clinux_list_attributes(int fd, void *names, size_t size) { return flistxattr(fd, names, size); }

ssize_t clinux_get_attribute(int fd, const char *name, void *value, size_t size) {
  return fgetxattr(fd, name, value, size);
}

unsigned clinux_device_major(dev_t device) { return major(device); }
unsigned clinux_device_minor(dev_t device) { return minor(device); }
