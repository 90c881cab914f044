import Glibc
import LinuxSystem
import Wire

/// A process that may outlive the server: the number, and the time of its start, by which it is known again.
package struct RecordedProcess: Sendable, Equatable {
  package var pid: Int32
  package var startTime: UInt64

  package init(pid: Int32, startTime: UInt64) {
    self.pid = pid
    self.startTime = startTime
  }
}

/// What is kept on disk of a container, so that it is found again after the server's death or a reboot.
struct ContainerRecord: Sendable, Equatable {
  enum Phase: String, Sendable {
    /// Being made. Found at a start, it is removed.
    case creating
    case created
    case running
    case exited
  }

  var id: String
  var podUID: String
  var podName: String
  var podNamespace: String
  var name: String
  var attempt: Int
  var image: String
  var imageID: String
  var phase: Phase
  /// The boot that it was made in (`/proc/sys/kernel/random/boot_id`).
  var bootID: String
  /// The container's first process.
  var process: RecordedProcess?
  var monitor: RecordedProcess?
  var createdAt: Timestamp
  var startedAt: Timestamp?
  var finishedAt: Timestamp?
  var exitCode: Int32?
  var oomKilled = false
  var isLost = false
  var logPath: String
  var hasTerminationFile: Bool
  var tty: Bool
  var stdin: Bool
  /// Its input outlives the clients that attach to it.
  var leavesStdinOpen = false
  var cgroupPath: String
  var labels: [String: String]
  var user: ResolvedUser?

  /// In the bundle's `config.json`, which the engine copies beside its own state: the record as it was when the container
  /// was made, for the case that the file of the record is gone.
  static let annotation = "apus.record"

  func state(folder: String) -> ContainerState {
    let status: ContainerState.Status =
      switch phase {
      case .creating, .created: .created
      case .running: .running
      case .exited: .exited
      }
    return ContainerState(
      id: id, podUID: podUID, podName: podName, podNamespace: podNamespace, name: name, attempt: attempt, image: image,
      imageID: imageID, status: status, pid: phase == .exited ? nil : process?.pid, createdAt: createdAt,
      startedAt: startedAt, finishedAt: finishedAt, exitCode: exitCode, oomKilled: oomKilled, isLost: isLost,
      logPath: logPath, terminationMessageFile: hasTerminationFile ? "\(folder)/termination-log" : nil, labels: labels,
      user: user)
  }

  var json: JSON {
    var json: JSON = [
      "id": .string(id), "podUID": .string(podUID), "podName": .string(podName), "podNamespace": .string(podNamespace),
      "name": .string(name), "attempt": .int(Int64(attempt)), "image": .string(image), "imageID": .string(imageID),
      "phase": .string(phase.rawValue), "bootID": .string(bootID), "createdAt": .int(createdAt.microseconds),
      "oomKilled": .bool(oomKilled), "isLost": .bool(isLost), "logPath": .string(logPath),
      "hasTerminationFile": .bool(hasTerminationFile), "tty": .bool(tty), "stdin": .bool(stdin),
      "cgroupPath": .string(cgroupPath), "labels": RuntimeFiles.json(labels),
    ]
    if let process { json["process"] = RuntimeFiles.json(process) }
    if let monitor { json["monitor"] = RuntimeFiles.json(monitor) }
    if let startedAt { json["startedAt"] = .int(startedAt.microseconds) }
    if let finishedAt { json["finishedAt"] = .int(finishedAt.microseconds) }
    if let exitCode { json["exitCode"] = .int(Int64(exitCode)) }
    if leavesStdinOpen { json["leavesStdinOpen"] = true }
    if let user { json["user"] = user.json }
    return json
  }
}

extension ContainerRecord {
  /// A container that was found without a record: what its place in the cgroups tells. It is to be ended.
  static func unknown(_ id: String, podUID: String, cgroupPath: String, at time: Timestamp) -> ContainerRecord {
    ContainerRecord(
      id: id, podUID: podUID, podName: "", podNamespace: "", name: "", attempt: 0, image: "", imageID: "",
      phase: .creating, bootID: "", createdAt: time, logPath: "", hasTerminationFile: false, tty: false, stdin: false,
      cgroupPath: cgroupPath, labels: [:])
  }

  /// `nil` when a field is missing or of another type.
  init?(json: JSON) {
    guard let id = json["id"]?.string, let podUID = json["podUID"]?.string, let podName = json["podName"]?.string,
      let podNamespace = json["podNamespace"]?.string, let name = json["name"]?.string,
      let attempt = json["attempt"]?.int, let image = json["image"]?.string, let imageID = json["imageID"]?.string,
      let phase = json["phase"]?.string.flatMap(Phase.init(rawValue:)), let bootID = json["bootID"]?.string,
      let createdAt = json["createdAt"]?.int, let logPath = json["logPath"]?.string,
      let cgroupPath = json["cgroupPath"]?.string
    else { return nil }
    self.init(
      id: id, podUID: podUID, podName: podName, podNamespace: podNamespace, name: name,
      attempt: Int(Int32(clamping: attempt)), image: image, imageID: imageID, phase: phase, bootID: bootID,
      process: RuntimeFiles.process(json["process"]), monitor: RuntimeFiles.process(json["monitor"]),
      createdAt: Timestamp(microseconds: createdAt),
      startedAt: json["startedAt"]?.int.map { Timestamp(microseconds: $0) },
      finishedAt: json["finishedAt"]?.int.map { Timestamp(microseconds: $0) },
      exitCode: json["exitCode"]?.int.map { Int32(clamping: $0) }, oomKilled: json["oomKilled"]?.bool ?? false,
      isLost: json["isLost"]?.bool ?? false, logPath: logPath,
      hasTerminationFile: json["hasTerminationFile"]?.bool ?? false, tty: json["tty"]?.bool ?? false,
      stdin: json["stdin"]?.bool ?? false, leavesStdinOpen: json["leavesStdinOpen"]?.bool ?? false,
      cgroupPath: cgroupPath, labels: RuntimeFiles.strings(json["labels"]),
      user: json["user"].flatMap(ResolvedUser.init(json:)))
  }
}

/// What is kept on disk of a pod's sandbox.
struct SandboxRecord: Sendable, Equatable {
  var podUID: String
  var name: String
  var namespace: String
  var hostname: String
  var hostNetwork: Bool
  var hostPID: Bool
  var hostIPC: Bool
  var cgroupPath: String
  var bootID: String
  /// False while it is being made: found at a start, it is removed.
  var isComplete: Bool
  var ips: [String]
  var createdAt: Timestamp
  var portMappings: [PortMapping]
  /// The network configuration that the pod was attached with; `nil` before that, and with `hostNetwork`.
  var network: JSON?
  var networkResult: JSON?
  /// What its namespaces and its attachment to the network are called: the pod's uid, unless they were made before the pod
  /// (`SparePool`).
  var networkID: String
  /// The folder is there and its record cannot be read, as after a power failure: not written. What the pod holds
  /// beyond the folder, such as its address, is given back all the same.
  var isTorn = false

  var json: JSON {
    var json: JSON = [
      "podUID": .string(podUID), "name": .string(name), "namespace": .string(namespace), "hostname": .string(hostname),
      "hostNetwork": .bool(hostNetwork), "hostPID": .bool(hostPID), "hostIPC": .bool(hostIPC),
      "cgroupPath": .string(cgroupPath), "bootID": .string(bootID), "isComplete": .bool(isComplete),
      "ips": .array(ips.map { .string($0) }), "createdAt": .int(createdAt.microseconds),
      "portMappings": .array(
        portMappings.map {
          [
            "hostPort": .int(Int64($0.hostPort)), "containerPort": .int(Int64($0.containerPort)),
            "transport": .string($0.transport), "hostIP": .string($0.hostIP),
          ]
        }),
    ]
    if let network { json["network"] = network }
    if let networkResult { json["networkResult"] = networkResult }
    if networkID != podUID { json["networkID"] = .string(networkID) }
    return json
  }
}

extension SandboxRecord {
  /// In the folder of a sandbox that was made before its pod: an empty file of this name and the network's id, which is
  /// there also when the record cannot be read.
  static let networkFilePrefix = "network."

  /// What the folder's name, and those of the files in it, tell.
  static func torn(_ podUID: String, networkID: String? = nil, at time: Timestamp) -> SandboxRecord {
    SandboxRecord(
      podUID: podUID, name: "", namespace: "", hostname: "", hostNetwork: false, hostPID: false, hostIPC: false,
      cgroupPath: "", bootID: "", isComplete: false, ips: [], createdAt: time, portMappings: [],
      networkID: networkID ?? podUID, isTorn: true)
  }

  init?(json: JSON) {
    guard let podUID = json["podUID"]?.string, let name = json["name"]?.string,
      let namespace = json["namespace"]?.string, let cgroupPath = json["cgroupPath"]?.string,
      let bootID = json["bootID"]?.string, let createdAt = json["createdAt"]?.int
    else { return nil }
    self.init(
      podUID: podUID, name: name, namespace: namespace, hostname: json["hostname"]?.string ?? "",
      hostNetwork: json["hostNetwork"]?.bool ?? false, hostPID: json["hostPID"]?.bool ?? false,
      hostIPC: json["hostIPC"]?.bool ?? false, cgroupPath: cgroupPath, bootID: bootID,
      isComplete: json["isComplete"]?.bool ?? false, ips: (json["ips"]?.array ?? []).compactMap(\.string),
      createdAt: Timestamp(microseconds: createdAt),
      portMappings: (json["portMappings"]?.array ?? []).map {
        PortMapping(
          hostPort: Int($0["hostPort"]?.int ?? 0), containerPort: Int($0["containerPort"]?.int ?? 0),
          transport: $0["transport"]?.string ?? "tcp", hostIP: $0["hostIP"]?.string ?? "")
      }, network: json["network"], networkResult: json["networkResult"],
      networkID: json["networkID"]?.string ?? podUID)
  }
}

/// Small files of the runtime. They need no fsync: what they tell of does not outlive a power failure, and the rename
/// keeps a killed server from leaving half a file. A file that is damaged all the same is no reason to forget what lives:
/// see `Adoption`.
package enum RuntimeFiles {
  /// - Parameter owner: `nil` for this process.
  package static func write(
    _ bytes: [UInt8], to path: String, mode: UInt32 = 0o600, owner: (uid: UInt32, gid: UInt32)? = nil
  ) throws(SystemError) {
    let temporary = path + ".tmp"
    let fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard fd >= 0 else { throw .last("create \(temporary)") }
    do throws(SystemError) {
      defer { close(fd) }
      try DurableFile.writeAll(fd, bytes, to: temporary)
      if let owner {
        guard fchown(fd, owner.uid, owner.gid) == 0 else { throw .last("chown \(temporary)") }
      }
      guard fchmod(fd, mode) == 0 else { throw .last("chmod \(temporary)") }
    } catch {
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else { throw .last("rename \(temporary)") }
  }

  package static func readJSON(_ path: String) -> JSON? {
    guard let bytes = try? DurableFile.read(path, limit: 4 << 20) else { return nil }
    return try? JSON.parse(bytes)
  }

  package static func readText(_ path: String) -> String? {
    guard let bytes = try? DurableFile.read(path, limit: 64 << 10) else { return nil }
    var text = Substring(String(decoding: bytes, as: UTF8.self))
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }

  /// The time of the last change of a file.
  static func modified(_ path: String) -> Timestamp? {
    var info = stat()
    guard stat(path, &info) == 0 else { return nil }
    return Timestamp(microseconds: Int64(info.st_mtim.tv_sec) * 1_000_000 + Int64(info.st_mtim.tv_nsec) / 1000)
  }

  package static func json(_ process: RecordedProcess) -> JSON {
    ["pid": .int(Int64(process.pid)), "startTime": .string(String(process.startTime))]
  }

  package static func process(_ json: JSON?) -> RecordedProcess? {
    guard let pid = json?["pid"]?.int, let start = json?["startTime"]?.string.flatMap({ UInt64($0) }) else {
      return nil
    }
    return RecordedProcess(pid: Int32(clamping: pid), startTime: start)
  }

  package static func json(_ map: [String: String]) -> JSON {
    .object(JSONObject(uniqueMembers: map.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
  }

  package static func strings(_ json: JSON?) -> [String: String] {
    var map: [String: String] = [:]
    for member in json?.object?.members ?? [] { map[member.key] = member.value.string }
    return map
  }
}
