/// Linux capabilities as containers are given them (capabilities(7)): those of pods and those of a build's steps.
public enum Capabilities {
  /// By number, from 0, without `CAP_`.
  static let all = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
  ]

  /// What Docker and containerd give.
  public static let standard: Set = [
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
  ]

  /// The standard set but for some, with `CAP_`, in order of the numbers. What is not there to give is left out.
  public static func standardNames(without dropped: Set<String>, available: CapabilitySet) -> [String] {
    names(standard.subtracting(dropped), available)
  }

  private static func names(_ set: Set<String>, _ available: CapabilitySet) -> [String] {
    all.filter { set.contains($0) && available.contains($0) }.map { "CAP_" + $0 }
  }

  /// The set with `CAP_`, in order of the numbers.
  ///
  /// `ALL` counts first, so that `drop: [ALL], add: [NET_BIND_SERVICE]` leaves one. `ALL` and `privileged` mean all that
  /// there is to give: the kernel lets nobody pass on what he does not have (capabilities(7)), and a container that asks
  /// for more would not start. Of the standard set, too, what is not there is left out.
  ///
  /// - Throws: for a name that is no capability, and for one that is added by name and is not there to give.
  public static func resolve(
    add: [String], drop: [String], privileged: Bool, available: CapabilitySet
  ) throws(SystemError) -> [String] {
    let known = Set(all)
    func normalise(_ names: [String], _ field: String) throws(SystemError) -> Set<String> {
      var result: Set<String> = []
      for name in names {
        var text = name.uppercased()
        if text.hasPrefix("CAP_") { text.removeFirst(4) }
        guard text == "ALL" || known.contains(text) else {
          throw SystemError("unknown capability \"\(name)\" to \(field)")
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
    let named = add.subtracting(["ALL"])
    if !privileged, let missing = all.first(where: { named.contains($0) && !available.contains($0) }) {
      throw SystemError(
        "the capability \"\(missing)\" cannot be added: apus itself does not have it on this machine")
    }
    set.formUnion(named)
    if !privileged { set.subtract(drop) }
    return names(set, available)
  }
}

/// A set of capabilities as the kernel has it: a bit for each number.
public struct CapabilitySet: Sendable, Equatable {
  public var mask: UInt64

  /// What whoever starts a program as root can give it: the bounding set. All, when the kernel does not say.
  public static var givable: CapabilitySet { ofThisProcess("CapBnd") ?? CapabilitySet(mask: .max) }

  /// - Parameter name: without `CAP_`.
  public func contains(_ name: String) -> Bool {
    guard let number = Capabilities.all.firstIndex(of: name) else { return false }
    return mask & 1 << UInt64(number) != 0
  }

  /// One of this process's sets, by its name in `/proc/self/status` (proc(5)): `CapBnd`, `CapEff`.
  public static func ofThisProcess(_ name: String) -> CapabilitySet? {
    guard let bytes = try? DurableFile.read("/proc/self/status", limit: 64 << 10) else { return nil }
    return CapabilitySet(status: String(decoding: bytes, as: UTF8.self), name)
  }

  public init(mask: UInt64) { self.mask = mask }

  init?(status text: String, _ name: String) {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name + ":") }),
      let mask = UInt64(line.dropFirst(name.utf8.count + 1).drop { $0 == "\t" || $0 == " " }, radix: 16)
    else { return nil }
    self.mask = mask
  }
}
