import Containers
import ControllerKit
import Glibc
import LinuxSystem
import Logging
import Wire

/// Bounds the logs of running containers: one that grew past its limit becomes `<log>.1`, in place of the one before,
/// and the container's writer goes on in a new file. So a container keeps at most two files, and between two looks what
/// it writes meanwhile.
struct LogRotation: ControllerKit.Service {
  let runtime: any ContainerRuntime
  let lanes: BlockingLanes
  let time: any TimeSource
  let log: Logger
  /// Bytes (kubelet's `containerLogMaxSize`).
  var sizeMax: Int64 = 10 << 20
  /// Between two looks (kubelet's `containerLogMonitorInterval`). Watching the files instead would cost something at
  /// each line that is written.
  var interval: Duration = .seconds(10)

  /// Where the older part of a log is.
  static func rotated(_ path: String) -> String { path + ".1" }

  func run() async throws {
    while true {
      try await time.sleep(for: interval)
      await rotate()
    }
  }

  /// Looks at every running container once. What fails is tried again at the next look.
  func rotate() async {
    guard let containers = try? await runtime.containers() else { return }
    for container in containers where container.status == .running {
      let path = container.logPath
      let limit = sizeMax
      do {
        let isMoved = try await lanes.run(container.podUID, "move \(path) away") {
          try Self.moveAway(path, over: limit)
        }
        if isMoved { try await runtime.reopenLog(container.id) }
      } catch {
        log.warning("log not rotated, will retry", metadata: ["path": "\(path)", "error": "\(describe(error))"])
      }
    }
  }

  /// Whether the writer must open the log anew. Blocks.
  private static func moveAway(_ path: String, over limit: Int64) throws(SystemError) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      guard errno == ENOENT else { throw SystemError.last("stat \(path)") }
      // It was moved away, but the writer was not told: the server ended in between.
      return Files.exists(rotated(path))
    }
    guard status.st_size > limit else { return false }
    guard rename(path, rotated(path)) == 0 else { throw SystemError.last("rename \(path)") }
    return true
  }
}
