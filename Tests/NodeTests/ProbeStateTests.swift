import Testing

@testable import Node

@Suite("ProbeState")
struct ProbeStateTests {
  @Test("readiness goes up and down by its thresholds")
  func readiness() {
    var state = ProbeState(kind: .readiness, successThreshold: 2, failureThreshold: 3)
    #expect(!state.isHealthy)
    #expect(state.succeeded() == .none)
    #expect(state.failed() == .none)
    #expect(state.succeeded() == .none)
    #expect(state.succeeded() == .becomeHealthy)
    #expect(state.succeeded() == .none)
    #expect(state.failed() == .none)
    #expect(state.failed() == .none)
    #expect(state.failed() == .becomeUnhealthy)
    #expect(state.failed() == .none)
    #expect(!state.isHealthy)
    #expect(state.succeeded() == .none)
    #expect(state.succeeded() == .becomeHealthy)
  }

  @Test("liveness kills once")
  func liveness() {
    var state = ProbeState(kind: .liveness, successThreshold: 1, failureThreshold: 2)
    #expect(state.isHealthy)
    #expect(state.failed() == .none)
    #expect(state.succeeded() == .none)
    #expect(state.failed() == .none)
    #expect(state.failed() == .kill)
    #expect(state.failed() == .none)
    #expect(state.succeeded() == .none)
  }

  @Test("startup succeeds once, or kills")
  func startup() {
    var state = ProbeState(kind: .startup, successThreshold: 1, failureThreshold: 2)
    #expect(state.failed() == .none)
    #expect(state.succeeded() == .becomeHealthy)
    #expect(state.failed() == .none)
    #expect(state.failed() == .none)
    var never = ProbeState(kind: .startup, successThreshold: 1, failureThreshold: 1)
    #expect(never.failed() == .kill)
  }

  @Test("a container that was ready when the server started stays ready until the threshold")
  func adopted() {
    var state = ProbeState(kind: .readiness, successThreshold: 1, failureThreshold: 2, wasHealthy: true)
    #expect(state.succeeded() == .none)
    #expect(state.failed() == .none)
    #expect(state.failed() == .becomeUnhealthy)
  }
}
