import ControllerKit
import Logging
import Wire

/// Keeps the long-lived parts running: one that fails is run again, as every `Service` can be, after a pause that doubles
/// up to half a minute, while the others go on.
struct Supervisor: Sendable {
  let time: any TimeSource
  let logger: Logger

  func run(_ name: String, _ service: any Service) async {
    var pause = Duration.milliseconds(100)
    while !Task.isCancelled {
      let started = time.now()
      do {
        try await service.run()
        if Task.isCancelled { return }
        logger.warning("a part ended by itself", metadata: ["part": .string(name)])
      } catch is CancellationError {
        return
      } catch {
        logger.error("a part failed", metadata: ["part": .string(name), "error": .string("\(error)")])
      }
      // A part that ran for a while failed for a new reason.
      if time.now().since(started) > .seconds(60) { pause = .milliseconds(100) }
      do { try await time.sleep(for: pause) } catch { return }
      pause = min(pause * 2, .seconds(30))
    }
  }
}
