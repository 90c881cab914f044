import Testing
import Wire

@testable import Node

@Suite("Pod status")
struct PodStatusTests {
  private func input(_ previous: JSON, generation: Int64 = 1) -> PodStatusInput {
    PodStatusInput(
      now: Timestamp(seconds: 2_000_000_000), restartPolicy: .always, hostIPs: ["192.0.2.1"], podIPs: [],
      startTime: Timestamp(seconds: 2_000_000_000), isSandboxReady: false,
      containers: [
        .init(
          name: "c", role: .main, state: .waiting(reason: "ContainerCreating", message: ""), restartCount: 0,
          image: "i")
      ],
      readinessGates: [], generation: generation, previous: previous)
  }

  @Test("what others said of the pod keeps its time of transition")
  func transitions() {
    let scheduled: JSON = ["type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"]
    let status = PodStatusBuilder.build(input(["conditions": [scheduled]]))
    let condition = status["conditions"]?.array?.first { $0["type"] == "PodScheduled" }
    #expect(condition?["lastTransitionTime"] == "2026-01-01T00:00:00Z")
    #expect(condition?["status"] == "True")
    // Without anybody's word it begins now.
    let first = PodStatusBuilder.build(input([:]))["conditions"]?.array?.first { $0["type"] == "PodScheduled" }
    #expect(first?["lastTransitionTime"] == "2033-05-18T03:33:20Z")
  }

  @Test("a new generation is told of in every condition, and changes no time")
  func generations() {
    // `kubectl wait` takes no condition that was observed before the newest generation.
    let before = PodStatusBuilder.build(input([:]))
    var later = input(before, generation: 2)
    later.now = later.now.adding(.seconds(60))
    let after = PodStatusBuilder.build(later)
    #expect(PodStatusBuilder.differs(after, from: before))
    for (old, new) in zip(before["conditions"]?.array ?? [], after["conditions"]?.array ?? []) {
      #expect(new["observedGeneration"] == 2)
      #expect(new["lastTransitionTime"] == old["lastTransitionTime"])
    }
  }

  @Test("a pod that has ended stays ended, as it ended, whatever anybody writes", arguments: ["Succeeded", "Failed"])
  func ended(phase: String) {
    for previous in ["Running", "Pending", "Succeeded", "Failed"] {
      var input = input(["phase": .string(previous)])
      input.endedPhase = phase
      input.failure = ("Failed", "DeadlineExceeded", "")
      #expect(PodStatusBuilder.build(input)["phase"]?.string == phase)
    }
    var after = input(["phase": .string(phase)])
    after.failure = ("Failed", "DeadlineExceeded", "")
    #expect(PodStatusBuilder.build(after)["phase"]?.string == phase)
  }

  @Test("what may follow on a status")
  func order() {
    func status(_ phase: String, _ restarts: Int64) -> JSON {
      [
        "phase": .string(phase), "containerStatuses": [["name": "c", "restartCount": .int(restarts)]],
        "initContainerStatuses": [["name": "i", "restartCount": .int(restarts)]],
      ]
    }
    #expect(PodStatusBuilder.mayFollow(status("Running", 1), status("Pending", 0)))
    #expect(PodStatusBuilder.mayFollow(status("Pending", 1), status("Running", 1)))
    #expect(!PodStatusBuilder.mayFollow(status("Running", 0), status("Running", 1)))
    #expect(!PodStatusBuilder.mayFollow(status("Running", 1), status("Failed", 1)))
    #expect(!PodStatusBuilder.mayFollow(status("Failed", 1), status("Succeeded", 1)))
  }

  @Test(
    "restarts that somebody wrote are taken within bounds",
    arguments: [
      (-5, 0), (7, 7), (Int64.max, Int(Int32.max)),
    ] as [(Int64, Int)])
  func writtenRestarts(written: Int64, taken: Int) throws {
    let status: JSON = ["name": "c", "containerID": "crun://1", "restartCount": .int(written)]
    let run = try #require(ContainerRun(status: status, scheme: "crun://", now: Timestamp(seconds: 1)))
    #expect(run.attempt == taken)
  }
}
