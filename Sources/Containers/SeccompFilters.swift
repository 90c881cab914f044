import Wire

/// The filters that crun compiled of profiles, to be given to it again: it compiles a profile for each container anew where
/// it was built without its own cache, as Debian's is (crun(1), `run.oci.seccomp_bpf_data`).
///
/// In memory only: the first container of a profile after a start has it compiled.
struct SeccompFilters: Sendable {
  static let annotation = "run.oci.seccomp_bpf_data"
  /// Profiles differ by capabilities only.
  private static let countMax = 32
  /// An instruction of classic BPF is 8 bytes, and the kernel takes 4096 of them (BPF_MAXINSNS).
  private static let instructionSize = 8
  static let sizeMax = 4096 * instructionSize

  private var byProfile: [[UInt8]: String] = [:]

  /// The filter of a profile in base64.
  func filter(of profile: [UInt8]) -> String? { byProfile[profile] }

  /// What is no whole filter is not kept.
  mutating func keep(_ filter: [UInt8], of profile: [UInt8]) {
    guard !filter.isEmpty, filter.count <= Self.sizeMax, filter.count % Self.instructionSize == 0 else { return }
    if byProfile.count >= Self.countMax { byProfile.removeAll() }
    byProfile[profile] = Base64.encode(filter)
  }
}
