/// Linux capabilities as containers are given them (capabilities(7)).
enum Capabilities {
  /// By number, from 0.
  static let all = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
  ]

  /// What Docker and containerd give.
  static let standard: Set = [
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
  ]

  /// The set with `CAP_`, in order of the numbers.
  ///
  /// `ALL` counts first, so that `drop: [ALL], add: [NET_BIND_SERVICE]` leaves one.
  /// - Parameter last: the highest number that the kernel knows (`/proc/sys/kernel/cap_last_cap`).
  static func resolve(
    add: [String], drop: [String], privileged: Bool, last: Int
  ) throws(RuntimeError) -> [String] {
    let known = Set(all)
    func normalise(_ names: [String], _ field: String) throws(RuntimeError) -> Set<String> {
      var result: Set<String> = []
      for name in names {
        var text = name.uppercased()
        if text.hasPrefix("CAP_") { text.removeFirst(4) }
        guard text == "ALL" || known.contains(text) else {
          throw RuntimeError(.invalid, "unknown capability \"\(name)\" to \(field)")
        }
        result.insert(text)
      }
      return result
    }
    let add = try normalise(add, "add")
    let drop = try normalise(drop, "drop")
    var set = standard
    if add.contains("ALL") || privileged { set = known }
    if drop.contains("ALL"), !privileged { set = [] }
    set.formUnion(add.subtracting(["ALL"]))
    if !privileged { set.subtract(drop) }
    return all.prefix(last + 1).filter(set.contains).map { "CAP_" + $0 }
  }
}
