import Containers
import KubeTypes
import LinuxSystem
import Wire

/// A pod's quality of service and what follows from it (`pkg/apis/core/v1/helper/qos`). Pure.
enum QualityOfService: String, Sendable, CaseIterable {
  case guaranteed = "Guaranteed"
  case burstable = "Burstable"
  case bestEffort = "BestEffort"

  init(of pod: Pod) {
    if let known = pod.json.at("status", "qosClass")?.string.flatMap(QualityOfService.init(rawValue:)) {
      self = known
      return
    }
    var isGuaranteed = true
    var hasAny = false
    for container in pod.spec.containers + pod.spec.initContainers {
      for resource in ["cpu", "memory"] {
        let limit = container.resources?.limits[resource].flatMap { $0 > .zero ? $0 : nil }
        let request = container.resources?.requests[resource].flatMap { $0 > .zero ? $0 : nil } ?? limit
        if limit != nil || request != nil { hasAny = true }
        if limit == nil || request != limit { isGuaranteed = false }
      }
    }
    self = !hasAny ? .bestEffort : isGuaranteed ? .guaranteed : .burstable
  }

  /// The pod's cgroup below the runtime's root.
  func cgroup(podUID: String) -> String {
    switch self {
    case .guaranteed: PodCgroup.guaranteed.path(podUID: podUID)
    case .burstable: PodCgroup.burstable.path(podUID: podUID)
    case .bestEffort: PodCgroup.bestEffort.path(podUID: podUID)
    }
  }

  /// Without `CAP_SYS_RESOURCE` a process gives nobody less than it has itself (proc(5)): a container that is to have less
  /// would not start.
  static let oomScoreAdjustmentMin: Int = {
    if CapabilitySet.ofThisProcess("CapEff")?.contains("SYS_RESOURCE") == true { return -1000 }
    return RuntimeFiles.readText("/proc/self/oom_score_adj").flatMap { Int($0) } ?? 0
  }()

  /// What the kernel's out-of-memory killer is told: the more memory a container asks for, the longer it lives.
  func oomScoreAdjustment(memoryRequest: Int64, nodeMemory: Int64) -> Int {
    switch self {
    case .guaranteed: return -997
    case .bestEffort: return 1000
    case .burstable:
      guard nodeMemory > 0 else { return 999 }
      let share = Int(clamping: Int128(memoryRequest) * 1000 / Int128(nodeMemory))
      return min(max(1000 - share, 3), 999)
    }
  }
}
