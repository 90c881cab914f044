import APIServer
import ControllerKit
import Glibc
import KubeClient
import Synchronization
import TestKit
import Testing

/// The cluster as a whole, with everything that can go wrong, on one thread and one clock.
///
/// A seed gives the same run each time, in a process with `SWIFT_DETERMINISTIC_HASHING=1`.
@Suite struct ClusterTests {
  private static let folder = TemporaryFolder()

  /// `SIMULATION_SEEDS=FIRST-LAST` has others run.
  private static let seeds: ClosedRange<UInt64> = {
    let parts = (getenv("SIMULATION_SEEDS").map { String(cString: $0) } ?? "").split(separator: "-").compactMap {
      UInt64($0)
    }
    return parts.count == 2 && parts[0] <= parts[1] ? parts[0]...parts[1] : 1...6
  }()

  private final class Report: Sendable {
    let problems = Mutex<[String]>([])
    let isSettled = Mutex(false)
  }

  @Test func whateverGoesWrongTheClusterBecomesWhatWasAskedFor() async throws {
    var total: [Fault: Int] = [:]
    var (steps, pods) = (0, 0)
    // Event loops are real and take a while to end.
    await withDiscardingTaskGroup { ending in
      for seed in Self.seeds {
        let cluster = Cluster(seed: seed, directory: Self.folder.path)
        let report = Report()
        do { steps += try Self.simulate(cluster, report) } catch {
          Issue.record("seed \(seed): \(error)")
        }
        let servers = cluster.servers
        ending.addTask { for server in servers { await server.shutdown() } }
        #expect(cluster.violations.isEmpty, "seed \(seed): \(cluster.violations.prefix(5))")
        let isSettled = report.isSettled.withLock { $0 }
        #expect(isSettled, "seed \(seed): \(report.problems.withLock { $0.prefix(8) })")
        total.merge(cluster.faults) { $0 + $1 }
        pods += cluster.startedCount
      }
    }
    print(
      "simulated \(Self.seeds): \(steps) steps, \(pods) pods, faults: \(total.map { "\($0.key) \($0.value)" }.sorted())"
    )
    #expect(pods > 20 * Self.seeds.count)
    for fault in Fault.allCases { #expect(total[fault] ?? 0 > 0, "no \(fault) has happened") }
  }

  /// Whoever finds something by a seed can look at it again.
  @Test(.enabled(if: getenv("SWIFT_DETERMINISTIC_HASHING") != nil, "the order in dictionaries differs from run to run"))
  func aSeedGivesTheSameRun() async throws {
    var runs: [String] = []
    for _ in 0..<2 {
      let cluster = Cluster(seed: Self.seeds.lowerBound, directory: Self.folder.path)
      let steps = try Self.simulate(cluster, Report())
      for server in cluster.servers { await server.shutdown() }
      runs.append(
        "\(steps) steps, \(cluster.startedCount) pods, \(cluster.faults.map { "\($0.key) \($0.value)" }.sorted())")
    }
    #expect(runs[0] == runs[1])
  }

  /// Some minutes of trouble, then calm until everything is as it should be, for an hour at most.
  private static func simulate(_ cluster: Cluster, _ report: Report) throws -> Int {
    let executor = cluster.simulator.executor
    return try cluster.simulator.run {
      try await EventRecorder.$executor.withValue(executor) {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await cluster.runServer() }
          for node in Cluster.nodes {
            group.addTask { try await SimulatedNode(cluster: cluster, name: node).run() }
          }
          try await SimulatedUser(cluster: cluster).run(changes: 80)
          cluster.calm()
          for node in Cluster.nodes { cluster.setPartitioned(node, false) }
          for _ in 0..<120 {
            try await cluster.clock.sleep(for: .seconds(30))
            let problems = (try? await Convergence(cluster: cluster).problems()) ?? ["there is no server"]
            report.problems.withLock { $0 = problems }
            if problems.isEmpty {
              report.isSettled.withLock { $0 = true }
              break
            }
          }
          group.cancelAll()
          do { try await group.waitForAll() } catch is CancellationError {}
        }
      }
    }
  }
}
