import Synchronization

/// Named conditions behind `/livez` and `/readyz`.
final class HealthChecks: Sendable {
  struct Check: Sendable {
    var name: String
    /// Whether it belongs to `/livez` too.
    var isLiveness: Bool
    /// What is wrong, or `nil`.
    var problem: @Sendable () -> String?
  }

  private let checks: Mutex<[Check]>

  init(_ checks: [Check]) { self.checks = Mutex(checks) }

  func add(_ check: Check) { checks.withLock { $0.append(check) } }

  /// All checks of a probe.
  func reply(_ probe: String, isVerbose: Bool, excluded: [String]) -> Reply {
    let selected = checks.withLock { $0 }.filter { (probe == "readyz" || $0.isLiveness) && !excluded.contains($0.name) }
    var lines = ""
    var isHealthy = true
    for check in selected {
      if check.problem() == nil {
        lines += "[+]\(check.name) ok\n"
      } else {
        isHealthy = false
        lines += "[-]\(check.name) failed: reason withheld\n"
      }
    }
    if !isHealthy { return Reply(text: lines + "\(probe) check failed\n", code: 500) }
    return Reply(text: isVerbose ? lines + "\(probe) check passed\n" : "ok")
  }

  /// One check.
  func reply(_ probe: String, check name: String) -> Reply {
    guard let check = checks.withLock({ $0 }).first(where: { $0.name == name }) else {
      return Reply(text: "404 page not found\n", code: 404)
    }
    return check.problem() == nil
      ? Reply(text: "ok") : Reply(text: "internal server error: \(name) failed: reason withheld\n", code: 500)
  }
}
