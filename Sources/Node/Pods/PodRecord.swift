import KubeTypes
import LinuxSystem
import Logging
import Wire

/// The copies of pods on disk.
enum PodRecord {
  /// A pod is at most as large as the API server takes.
  static let sizeMax = 4 << 20

  /// A failure is logged: the pod runs, but would not come back while the API is away.
  static func write(_ pod: JSON, of uid: String, to path: String, on lanes: BlockingLanes, log: Logger) async {
    let bytes = pod.serialized()
    do {
      try await lanes.run(uid, "write \(path)") {
        if let slash = path.lastIndex(of: "/") { try Files.makeDirectory(String(path[..<slash]), mode: 0o755) }
        try DurableFile.write(bytes, to: path, mode: 0o600)
      }
    } catch {
      log.warning("pod record not written", metadata: ["path": "\(path)", "error": "\(error)"])
    }
  }

  /// Every readable record; a torn one cannot be, since they are renamed into place. Blocks.
  static func readAll(_ configuration: NodeConfiguration) -> [Pod] {
    Files.list(configuration.podsDirectory).compactMap { uid in
      guard let bytes = Files.read(configuration.recordPath(uid), limit: sizeMax), let json = try? JSON.parse(bytes)
      else {
        return nil
      }
      let pod = Pod(json: json)
      return pod.metadata.uid == uid ? pod : nil
    }
  }
}
