import Wire

/// The `RuntimeDefault` seccomp profile: what Docker, containerd and CRI-O allow, as data.
///
/// Everything that is not named answers `EPERM`. Some calls come with a capability (docs.docker.com,
/// "Seccomp security profiles for Docker"; OCI runtime specification, config-linux, section Seccomp).
public enum ContainerSeccomp {
  /// `linux.seccomp` for a container with these capabilities (`CAP_…`).
  public static func runtimeDefault(capabilities: Set<String>) -> JSON {
    var allowed = words(always)
    for (capability, names) in byCapability where capabilities.contains(capability) { allowed += words(names) }
    var rules: [JSON] = [rule(Array(Set(allowed)).sorted())]

    // Sockets of every family but AF_VSOCK, which reaches the hypervisor.
    rules.append(rule(["socket"], arguments: [argument(0, 40, "SCMP_CMP_NE")]))
    for persona: Int64 in [0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff] {
      rules.append(rule(["personality"], arguments: [argument(0, persona, "SCMP_CMP_EQ")]))
    }
    if !capabilities.contains("CAP_SYS_ADMIN") {
      // clone without any flag that makes a namespace; clone3 keeps its flags in memory, where a filter cannot look:
      // ENOSYS makes the C libraries fall back to clone.
      rules.append(rule(["clone"], arguments: [argument(0, 0x7e02_0000, "SCMP_CMP_MASKED_EQ")]))
      rules.append(["names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38])
    }
    return [
      "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": architectures,
      "syscalls": .array(rules),
    ]
  }

  private static func rule(_ names: [String], arguments: [JSON] = []) -> JSON {
    var rule: JSON = ["names": .array(names.map { .string($0) }), "action": "SCMP_ACT_ALLOW"]
    if !arguments.isEmpty { rule["args"] = .array(arguments) }
    return rule
  }

  private static func argument(_ index: Int64, _ value: Int64, _ operation: String) -> JSON {
    ["index": .int(index), "value": .int(value), "op": .string(operation)]
  }

  private static func words(_ text: String) -> [String] {
    text.split { $0 == " " || $0 == "\n" }.map(String.init)
  }

  #if arch(arm64)
    private static let architectures: JSON = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    private static let machine = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"
  #else
    // Without x32: nobody builds for it, and its part of the filter takes the engine 6 ms for every container.
    private static let architectures: JSON = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    private static let machine = "arch_prctl modify_ldt"
  #endif

  private static let byCapability = [
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree
    perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
  ]

  private static let always =
    machine + """

      read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek readahead close close_range
      open openat openat2 creat dup dup2 dup3 fcntl fcntl64 ioctl flock fsync fdatasync sync syncfs sync_file_range
      fallocate ftruncate ftruncate64 truncate truncate64 fadvise64 fadvise64_64 copy_file_range sendfile sendfile64
      splice tee vmsplice pipe pipe2

      access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64
      fstatfs fstatfs64 getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir rename renameat renameat2 link linkat
      symlink symlinkat readlink readlinkat unlink unlinkat mknod mknodat umask chmod fchmod fchmodat fchmodat2 chown
      chown32 fchown fchown32 fchownat lchown lchown32 utime utimes utimensat utimensat_time64 futimesat getxattr setxattr
      listxattr removexattr lgetxattr lsetxattr llistxattr lremovexattr fgetxattr fsetxattr flistxattr fremovexattr
      name_to_handle_at inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark cachestat

      mmap mmap2 munmap mprotect mremap madvise mincore msync mlock mlock2 mlockall munlock munlockall brk
      remap_file_pages memfd_create memfd_secret membarrier pkey_alloc pkey_free pkey_mprotect process_mrelease
      map_shadow_stack

      execve execveat exit exit_group fork vfork wait4 waitid waitpid kill tkill tgkill getpid getppid gettid getpgid
      getpgrp setpgid getsid setsid getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid
      getresuid32 getresgid getresgid32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid
      setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 getgroups getgroups32 setgroups
      setgroups32 capget capset prctl seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self ptrace
      process_vm_readv process_vm_writev pidfd_open pidfd_send_signal getrlimit ugetrlimit setrlimit prlimit64 getrusage
      getpriority setpriority ioprio_get ioprio_set uname sysinfo times getcpu rseq set_tid_address set_robust_list
      get_robust_list get_thread_area set_thread_area restart_syscall

      sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
      sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval
      sched_rr_get_interval_time64

      rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
      rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn signalfd signalfd4 pause alarm

      clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
      clock_nanosleep_time64 nanosleep gettimeofday time adjtimex getitimer setitimer timer_create timer_delete
      timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
      timerfd_gettime64 timerfd_settime timerfd_settime64

      futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue eventfd eventfd2 epoll_create epoll_create1
      epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old poll ppoll ppoll_time64 select _newselect
      pselect6 pselect6_time64 io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64

      socketpair socketcall bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt send
      sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64

      ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
      mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
      getrandom
      """
}
