#define _GNU_SOURCE
#include "CLinuxFileSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int clinux_openat2(int directory, const char *path, uint64_t flags, uint32_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .mode = (flags & O_CREAT) ? mode : 0, .resolve = resolve};
  int fd = -1;
  // EAGAIN: a rename elsewhere raced with the check of `..`; the man page asks to try again. A container that renames
  // all the time must not make the node fail by it, nor hold it up for ever.
  for (int attempt = 0; attempt < 256; attempt++) {
    fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

// <sys/mount.h> and <linux/fs.h> define the same names in this C library.
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
int umount2(const char *target, int flags);

int apus_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  return mount(source, target, type, flags, data);
}

int apus_unmount(const char *target, int flags) { return umount2(target, flags); }

// The numbers of the generic system call table, the same on every architecture since Linux 5.2.
#define APUS_OPEN_TREE 428
#define APUS_MOVE_MOUNT 429
#define APUS_FSOPEN 430
#define APUS_FSCONFIG 431
#define APUS_FSMOUNT 432
#define APUS_FSCONFIG_SET_FLAG 0
#define APUS_FSCONFIG_SET_STRING 1
#define APUS_FSCONFIG_CMD_CREATE 6
#define APUS_MOVE_MOUNT_F_EMPTY_PATH 4

int clinux_clone_mount(int fd, int is_recursive) {
  // OPEN_TREE_CLONE is 1, AT_RECURSIVE is 0x8000.
  return (int)syscall(APUS_OPEN_TREE, fd, "", AT_EMPTY_PATH | 1 | O_CLOEXEC | (is_recursive ? 0x8000 : 0));
}

int clinux_attach_mount(int mount, const char *target) {
  return (int)syscall(APUS_MOVE_MOUNT, mount, "", AT_FDCWD, target, APUS_MOVE_MOUNT_F_EMPTY_PATH);
}

int clinux_make_removable(int fd) {
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) return -1;
  if (!(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL))) return 0;
  flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
  return ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

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
    result = clinux_attach_mount(mounted, target);
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
