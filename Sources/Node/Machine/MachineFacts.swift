import Glibc
import Wire

/// What the machine is, for the Node object. Blocks for a few file reads.
struct MachineFacts: Sendable, Equatable {
  var hostname = ""
  var kernelVersion = ""
  var osImage = ""
  /// As Go names it: `amd64`, `arm64`.
  var architecture = ""
  var bootID = ""
  var machineID = ""
  var cpus: Int64 = 1
  /// Bytes.
  var memory: Int64 = 0
  /// Bytes of the file system that holds the node's data.
  var storage: Int64 = 0
  var hugePages: [String: Int64] = [:]

  static func read(dataDirectory: String) -> MachineFacts {
    var facts = MachineFacts()
    func firstLine(_ path: String) -> String {
      String(decoding: Files.read(path, limit: 1 << 20) ?? [], as: UTF8.self)
        .split(separator: "\n").first.map(String.init) ?? ""
    }
    facts.hostname = firstLine("/proc/sys/kernel/hostname")
    facts.kernelVersion = firstLine("/proc/sys/kernel/osrelease")
    facts.bootID = firstLine("/proc/sys/kernel/random/boot_id")
    facts.machineID = firstLine("/etc/machine-id")
    facts.osImage = osImage(String(decoding: Files.read("/etc/os-release", limit: 1 << 16) ?? [], as: UTF8.self))
    #if arch(arm64)
      facts.architecture = "arm64"
    #else
      facts.architecture = "amd64"
    #endif
    facts.cpus = max(1, Int64(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    facts.memory =
      memoryTotal(String(decoding: Files.read("/proc/meminfo", limit: 1 << 16) ?? [], as: UTF8.self))["MemTotal"] ?? 0
    // Before the first start the folder is not there: it will be made where its parent is.
    var folder = Substring(dataDirectory)
    while facts.storage == 0, let slash = folder.lastIndex(of: "/") {
      facts.storage = FileSystemUsage(path: String(folder))?.total ?? 0
      folder = folder[..<slash]
    }
    return facts
  }

  /// `PRETTY_NAME` of `os-release(5)`.
  static func osImage(_ text: String) -> String {
    for line in text.split(separator: "\n") where line.hasPrefix("PRETTY_NAME=") {
      return String(line.dropFirst("PRETTY_NAME=".count).drop { $0 == "\"" }.prefix { $0 != "\"" })
    }
    return "Linux"
  }

  /// Bytes by name in `/proc/meminfo`.
  static func memoryTotal(_ text: String) -> [String: Int64] {
    var result: [String: Int64] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count >= 2, let amount = Int64(words[1]) else { continue }
      result[String(words[0].dropLast())] = words.count > 2 && words[2] == "kB" ? amount * 1024 : amount
    }
    return result
  }

  var capacity: [String: Quantity] {
    [
      "cpu": Quantity(cpus), "memory": Quantity(memory), "ephemeral-storage": Quantity(storage),
    ]
  }
}

/// How full a file system is, in bytes.
struct FileSystemUsage: Sendable, Equatable {
  var total: Int64
  var available: Int64
  var inodesTotal: Int64
  var inodesFree: Int64
}

extension FileSystemUsage {
  init?(path: String) {
    var status = Glibc.statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    self.init(
      total: Int64(status.f_blocks) * Int64(status.f_frsize),
      available: Int64(status.f_bavail) * Int64(status.f_frsize), inodesTotal: Int64(status.f_files),
      inodesFree: Int64(status.f_ffree))
  }
}

/// Whether the machine runs short of something (kubelet's default eviction thresholds).
struct Pressure: Sendable, Equatable {
  var memory = false
  var disk = false
  var processes = false

  /// Less than 100 MiB of memory, less than 10 % of disk or 5 % of inodes, less than 1,000 process ids are left.
  static func read(dataDirectory: String) -> Pressure {
    var pressure = Pressure()
    let memory = MachineFacts.memoryTotal(
      String(decoding: Files.read("/proc/meminfo", limit: 1 << 16) ?? [], as: UTF8.self))
    if let available = memory["MemAvailable"] { pressure.memory = available < 100 << 20 }
    if let usage = FileSystemUsage(path: dataDirectory), usage.total > 0 {
      pressure.disk =
        usage.available < usage.total / 10 || usage.inodesTotal > 0 && usage.inodesFree < usage.inodesTotal / 20
    }
    let loads = String(decoding: Files.read("/proc/loadavg", limit: 4096) ?? [], as: UTF8.self).split(separator: " ")
    let limit = String(decoding: Files.read("/proc/sys/kernel/pid_max", limit: 4096) ?? [], as: UTF8.self)
      .split(separator: "\n").first.flatMap { Int64($0) }
    if loads.count > 3, let count = loads[3].split(separator: "/").last.flatMap({ Int64($0) }), let limit {
      pressure.processes = limit - count < 1000
    }
    return pressure
  }
}
