import Containers
import ControllerKit
import Logging
import Wire

/// Keeps sandboxes ready before pods ask for them: namespaces and an address are most of what a new pod waits for.
///
/// A pod is given one when it wants what every pod gets: a network, UTS and IPC namespaces of its own, no ports of the
/// host, no sysctls. No process ever ran in it. Those that were not taken are kept over a restart of the server.
public struct SpareSandboxes: Service {
  private let runtime: CrunRuntime

  public init(_ runtime: CrunRuntime) { self.runtime = runtime }

  public func run() async throws {
    do { try await fill() } catch {
      // Not cancelled with this task: where no pod is left, nothing is to hold the run folder.
      if Task.isCancelled { await Task { [runtime] in await runtime.sparesEnd() }.value }
      throw error
    }
  }

  private func fill() async throws {
    let backoff = Backoff(first: .milliseconds(100), longest: .seconds(30))
    var random = SeededRandom(name: "spare-sandboxes")
    var failures = 0
    var wishes = runtime.spareWishes().makeAsyncIterator()
    while true {
      try Task.checkCancellation()
      do {
        while try await runtime.makeSpare() {}
        failures = 0
      } catch {
        try Task.checkCancellation()
        failures += 1
        runtime.log.debug("a spare sandbox cannot be made, will retry", metadata: ["error": "\(error)"])
      }
      if failures == 0 {
        _ = await wishes.next()
        // A pod's containers are made and started after its sandbox: it does not share the processors with what only
        // waits. Where pods come without a pause it is made all the same.
        for _ in 0..<20 {
          let begun = runtime.startsBegun
          try await runtime.time.sleep(for: .milliseconds(100))
          if runtime.startsBegun == begun { break }
        }
      } else {
        try await runtime.time.sleep(for: backoff.delay(failures: failures, using: &random))
      }
    }
  }
}
