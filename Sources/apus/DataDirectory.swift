import ArgumentParser
import Glibc
import LinuxSystem
import PodNetwork
import Store
import Wire

/// Where everything lives that Apus keeps.
struct DataDirectory: Sendable {
  let path: String

  var state: String { path + "/state" }
  var images: String { path + "/images" }
  var containers: String { path + "/containers" }
  var node: String { path + "/node" }
  var network: String { path + "/network" }
  var nameServerKubeconfig: String { network + "/name-server.kubeconfig" }
  var cni: String { path + "/cni" }
  /// The registry's own secrets.
  var registry: String { path + "/registry" }
  var registryConfiguration: String { path + "/registry.yaml" }
  /// A docker `config.json` for the pulls of all pods.
  var imageCredentials: String { path + "/config.json" }
  var kubeconfig: String { path + "/kubeconfig" }
  /// What the running server tells of itself: process id, addresses, start, recovery.
  var serverRecord: String { path + "/server.json" }
  /// Sockets and pinned namespaces: gone after a reboot, as they must be. One folder per data directory, and short,
  /// because a socket's path has a hundred bytes.
  var runtime: String { "/run/apus/" + Self.shortHash(of: path) }
  /// The root of this server's cgroups.
  var cgroup: String { "apus-" + Self.shortHash(of: path) }
  var nameServerCgroup: String { "/\(cgroup)/names" }

  /// The pod network of a server of this directory; `nil` when the service range cannot be read.
  func network(
    bridge: String, podRange: String, serviceRange: String, owner: String
  ) -> PodNetworkConfiguration? {
    guard let services = IPv4Range(serviceRange) else { return nil }
    var network = PodNetworkConfiguration(
      nodeName: "", podCIDR: podRange, serviceCIDR: serviceRange, dnsServiceIP: services[10].description,
      bridgeName: bridge, cniDirectory: cni, stateDirectory: self.network)
    network.owner = owner
    return network
  }

  /// FNV-1a: eight digits tell a few texts apart, such as the data directories of one machine.
  static func shortHash(of text: String) -> String {
    var hash: UInt32 = 2_166_136_261
    for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }
}

struct DataOptions: ParsableArguments {
  @Option(
    name: .customLong("data"),
    help: ArgumentHelp("The directory that holds everything Apus keeps (or APUS_DATA).", valueName: "dir"))
  var directory: String?

  var data: DataDirectory {
    get throws {
      let named = directory ?? getenv("APUS_DATA").map { String(cString: $0) } ?? "/var/lib/apus"
      // A relative path would mean another directory to the next command.
      if named.hasPrefix("/") { return DataDirectory(path: normalized(named)) }
      guard let current = getcwd(nil, 0) else { throw Failure("the current directory cannot be read; give --data") }
      defer { free(current) }
      return DataDirectory(path: normalized(String(cString: current) + "/" + named))
    }
  }

  /// The directory, for a command that only reads: nothing is made where nothing is.
  var existing: DataDirectory {
    get throws {
      let data = try data
      guard access(data.images, F_OK) == 0 else {
        throw Failure("there is nothing of Apus at \(data.path): is --data, or APUS_DATA, right?", code: .noServer)
      }
      return data
    }
  }

  /// The directory, for a command that makes it without a server: marked as Apus', unless it holds other people's files.
  var made: DataDirectory {
    get throws {
      let data = try data
      do { _ = try DirectoryMark.take(data) } catch let error as SystemError { throw error } catch {}
      return data
    }
  }

  private func normalized(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }
}

/// What the server writes about itself, for `apus status` and `apus down`. It stays when the server ends: a purge needs it.
struct ServerRecord {
  var processID: Int32
  /// The kernel's start time of the process in clock ticks, which tells it from a later one with the same id.
  var processStart: UInt64
  var url: String
  var startedAt: Timestamp
  var readyAfterMilliseconds: Int64
  var runtime: String
  var bridgeName: String
  var podCIDR: String
  var serviceCIDR: String
  /// The address of the image registry; `nil` when there is none.
  var registry: String?

  func write(to path: String) throws {
    var json: JSON = [
      "processID": .int(Int64(processID)), "processStart": .int(Int64(processStart)), "url": .string(url),
      "startedAt": .string(startedAt.rfc3339Micro), "readyAfterMilliseconds": .int(readyAfterMilliseconds),
      "runtime": .string(runtime), "bridgeName": .string(bridgeName), "podCIDR": .string(podCIDR),
      "serviceCIDR": .string(serviceCIDR),
    ]
    if let registry { json["registry"] = .string(registry) }
    try DurableFile.write(Array(json.prettyPrinted().utf8), to: path, mode: 0o644)
  }

  /// `nil` when there is none.
  static func read(_ path: String) -> ServerRecord? {
    guard let bytes = try? DurableFile.read(path, limit: 1 << 16), let json = try? JSON.parse(bytes),
      let processID = json["processID"]?.int.flatMap(Int32.init(exactly:)),
      let processStart = json["processStart"]?.int, let url = json["url"]?.string,
      let startedAt = json["startedAt"]?.string.flatMap(Timestamp.init(rfc3339:)),
      let ready = json["readyAfterMilliseconds"]?.int, let runtime = json["runtime"]?.string,
      let bridge = json["bridgeName"]?.string,
      let podCIDR = json["podCIDR"]?.string, let serviceCIDR = json["serviceCIDR"]?.string
    else { return nil }
    return ServerRecord(
      processID: processID, processStart: UInt64(processStart), url: url, startedAt: startedAt,
      readyAfterMilliseconds: ready, runtime: runtime, bridgeName: bridge, podCIDR: podCIDR, serviceCIDR: serviceCIDR,
      registry: json["registry"]?.string)
  }

  /// The pod network of this server, for those who do not run its pods.
  func network(of data: DataDirectory) -> PodNetworkConfiguration? {
    data.network(bridge: bridgeName, podRange: podCIDR, serviceRange: serviceCIDR, owner: "")
  }

  /// Whether the process that wrote this still runs.
  var isAlive: Bool { ProcessStatistics(processID)?.startTicks == processStart }
}

/// What `/proc/PID/stat` and `/proc/PID/status` say.
struct ProcessStatistics {
  var startTicks: UInt64
  /// User and system time in clock ticks.
  var cpuTicks: UInt64
  var residentBytes: UInt64

  init?(_ processID: Int32) {
    guard let stat = try? DurableFile.read("/proc/\(processID)/stat", limit: 1 << 12),
      let status = try? DurableFile.read("/proc/\(processID)/status", limit: 1 << 16)
    else { return nil }
    // The command name stands in parentheses and may hold anything: fields are counted from its end.
    let text = String(decoding: stat, as: UTF8.self)
    guard let nameEnd = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: nameEnd)...].split(separator: " ")
    guard fields.count > 20, fields[0] != "Z", let user = UInt64(fields[11]), let system = UInt64(fields[12]),
      let start = UInt64(fields[19])
    else { return nil }
    startTicks = start
    cpuTicks = user + system
    let resident = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    residentBytes = resident?.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 * 1024 } ?? 0
  }
}
