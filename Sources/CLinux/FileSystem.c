#define _GNU_SOURCE
#include "CLinuxFileSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int apus_open_beneath(int directory, const char *path, uint64_t flags, uint32_t mode) {
  struct open_how how = {
      .flags = flags | O_CLOEXEC,
      .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
  };
  int fd;
  // EAGAIN: a rename elsewhere raced with the check of `..`; the man page asks to try again.
  for (int attempt = 0; attempt < 16; attempt++) {
    fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

int apus_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return mount(source, target, type, flags, data);
}

int apus_unmount(const char *target, int flags) { return umount2(target, flags); }

// The numbers of the generic system call table, the same on every architecture since Linux 5.2.
#define APUS_MOVE_MOUNT 429
#define APUS_FSOPEN 430
#define APUS_FSCONFIG 431
#define APUS_FSMOUNT 432
#define APUS_FSCONFIG_SET_FLAG 0
#define APUS_FSCONFIG_SET_STRING 1
#define APUS_FSCONFIG_CMD_CREATE 6
#define APUS_MOVE_MOUNT_F_EMPTY_PATH 4

static int set_string(int fs, const char *key, const char *value) {
  return (int)syscall(APUS_FSCONFIG, fs, APUS_FSCONFIG_SET_STRING, key, value, 0);
}

int apus_mount_overlay(const char *target, const char *const *lower, int count, const char *upper, const char *work,
                       int is_volatile) {
  int fs = (int)syscall(APUS_FSOPEN, "overlay", 1 /* FSOPEN_CLOEXEC */);
  if (fs < 0) return -1;
  int result = set_string(fs, "source", "overlay");
  for (int i = 0; result == 0 && i < count; i++) result = set_string(fs, "lowerdir+", lower[i]);
  if (result == 0 && upper) result = set_string(fs, "upperdir", upper);
  if (result == 0 && work) result = set_string(fs, "workdir", work);
  if (result == 0 && is_volatile)
    result = (int)syscall(APUS_FSCONFIG, fs, APUS_FSCONFIG_SET_FLAG, "volatile", NULL, 0);
  if (result == 0) result = (int)syscall(APUS_FSCONFIG, fs, APUS_FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  int mounted = -1;
  if (result == 0) mounted = (int)syscall(APUS_FSMOUNT, fs, 1 /* FSMOUNT_CLOEXEC */, 0);
  if (mounted < 0) result = -1;
  if (result == 0)
    result = (int)syscall(APUS_MOVE_MOUNT, mounted, "", AT_FDCWD, target, APUS_MOVE_MOUNT_F_EMPTY_PATH);
  int saved = errno;
  if (mounted >= 0) close(mounted);
  close(fs);
  errno = saved;
  return result;
}

int apus_setxattr_path(int fd, const char *name, const void *value, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return setxattr(path, name, value, size, 0);
}

ssize_t apus_getxattr(const char *path, const char *name, void *value, size_t size) {
  return lgetxattr(path, name, value, size);
}

int apus_make_device(int directory, const char *name, uint32_t mode, unsigned major, unsigned minor) {
  return mknodat(directory, name, mode, makedev(major, minor));
}

int apus_create_temporary(char *path) { return mkostemp(path, O_CLOEXEC); }

int apus_syncfs(int fd) { return syncfs(fd); }
