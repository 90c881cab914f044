import NIOCore

/// Until when a request's head has to be there, over all phases. Each phase gets its own limit, or what is left.
struct RequestDeadline: Sendable {
  private let total: Duration?
  private let end: NIODeadline?

  init(_ total: Duration?) {
    self.total = total
    end = total.map { NIODeadline.now() + TimeAmount(bounded: $0) }
  }

  func limit(_ phase: Duration) -> Duration {
    guard let end else { return phase }
    return min(phase, max(.zero, Duration(end - NIODeadline.now())))
  }

  /// Where the time for the whole was over, that is what is told, and not in which phase it was.
  func explain(_ error: HTTPClientError) -> HTTPClientError {
    guard let end, let total, case .timeout = error.code, NIODeadline.now() >= end else { return error }
    return .timeout(.head, total)
  }
}
