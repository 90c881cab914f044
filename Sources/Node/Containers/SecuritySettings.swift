import Containers
import KubeTypes

/// The pod's and the container's `securityContext` together, and the checks that need the image. Pure.
struct SecuritySettings: Sendable, Equatable {
  var runAsUser: Int64?
  var runAsGroup: Int64?
  var supplementalGroups: [Int64]
  /// `supplementalGroupsPolicy` is not `Strict`: the image's files may give the user more groups.
  var mergesGroups: Bool
  var isPrivileged: Bool
  var addCapabilities: [String]
  var dropCapabilities: [String]
  var noNewPrivileges: Bool
  var seccomp: SeccompChoice
  var isProcUnmasked: Bool
  var hasReadOnlyRoot: Bool

  /// - Parameters:
  ///   - imageUser: the image's `User`.
  ///   - seccompRoot: where the profiles of type `Localhost` are.
  init(pod: Pod, container: Container, imageUser: String, seccompRoot: String) throws(NodeError) {
    let podContext = pod.spec.securityContext
    let context = container.securityContext
    runAsUser = context?.runAsUser ?? podContext?.runAsUser
    runAsGroup = context?.runAsGroup ?? podContext?.runAsGroup
    supplementalGroups = podContext?.supplementalGroups ?? []
    if let group = podContext?.fsGroup, !supplementalGroups.contains(group) { supplementalGroups.append(group) }
    mergesGroups = podContext?.supplementalGroupsPolicy != "Strict"
    isPrivileged = context?.privileged == true
    addCapabilities = context?.capabilities?.add ?? []
    dropCapabilities = context?.capabilities?.drop ?? []
    noNewPrivileges = context?.allowPrivilegeEscalation == false
    isProcUnmasked = context?.procMount == "Unmasked"
    hasReadOnlyRoot = context?.readOnlyRootFilesystem == true

    // A profile that somebody wrote for this program is not left away.
    if let profile = context?.appArmorProfile ?? podContext?.appArmorProfile, profile.`type` == "Localhost" {
      throw NodeError(
        .createContainerConfigError,
        "the AppArmor profile \"\(profile.localhostProfile ?? "")\" cannot be used: AppArmor is not supported by this node"
      )
    }

    let profile = context?.seccompProfile ?? podContext?.seccompProfile
    switch profile?.`type` {
    case "Unconfined": seccomp = .unconfined
    case "Localhost":
      let name = profile?.localhostProfile ?? ""
      guard !name.isEmpty, !name.hasPrefix("/"), !name.split(separator: "/").contains("..") else {
        throw NodeError(
          .createContainerConfigError, "seccomp localhostProfile \"\(name)\" must be a relative path without '..'")
      }
      seccomp = .localhost(folder: seccompRoot, name: name)
    // A container that asks for nothing is unconfined in Kubernetes, unless the kubelet runs with `--seccomp-default`
    // (KEP-2413). This node behaves as with it: what the profile refuses hardly any program needs, and it closes most
    // ways out of a container through the kernel. `Unconfined` must be asked for. As there, a privileged container has
    // no filter.
    default: seccomp = isPrivileged ? .unconfined : .runtimeDefault
    }

    if context?.runAsNonRoot ?? podContext?.runAsNonRoot == true {
      try Self.verifyNonRoot(runAsUser, imageUser: imageUser, pod: pod, container: container)
    }
  }

  /// `verifyRunAsNonRoot` in `pkg/kubelet/kuberuntime/security_context.go`.
  private static func verifyNonRoot(
    _ user: Int64?, imageUser: String, pod: Pod, container: Container
  ) throws(NodeError) {
    let metadata = pod.metadata
    let place =
      "(pod: \"\(metadata.name ?? "")_\(metadata.namespace ?? "")(\(metadata.uid ?? ""))\", container: \(container.name ?? ""))"
    if let user {
      if user == 0 {
        throw NodeError(
          .createContainerConfigError, "container's runAsUser breaks non-root policy \(place)")
      }
      return
    }
    let name =
      imageUser.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? ""
    if name.isEmpty || Int64(name) == 0 {
      throw NodeError(
        .createContainerConfigError, "container has runAsNonRoot and image will run as root \(place)")
    }
    if Int64(name) == nil {
      throw NodeError(
        .createContainerConfigError,
        "container has runAsNonRoot and image has non-numeric user (\(name)), cannot verify user is non-root \(place)")
    }
  }
}
