import NIOCore

extension TimeAmount {
  /// A duration, and no more than a year: what it comes from may be anybody's number, such as a pod's grace period, and NIO
  /// ends the process where nanoseconds have no 64 bits left, or a deadline is beyond them.
  package init(bounded duration: Duration) {
    let most = Duration.seconds(365 * 24 * 3600)
    self.init(min(max(duration, .zero - most), most))
  }
}
