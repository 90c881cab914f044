import Glibc
import LinuxSystem
import Wire

/// Whose a bridge is: an alias of the interface tells it, which lives in the kernel for as long as the bridge does, in the
/// network namespace that it is in. No file that was removed makes one server's bridge another's.
enum BridgeOwner {
  private static let prefix = "apus "

  struct State: Equatable {
    /// The mark of the server that made it; `nil` when it has none.
    var owner: String?
    var isBridge: Bool
    /// Whether interfaces are attached, such as pods'.
    var hasPorts: Bool
  }

  /// What `ip link set` is given.
  static func option(_ owner: String) -> String { owner.isEmpty ? "" : " alias \"\(prefix)\(owner)\"" }

  /// `nil` when there is no such interface.
  static func state(of bridge: String) async throws(PodNetworkError) -> State? {
    guard if_nametoindex(bridge) != 0 else { return nil }
    let link = try await Program.run("ip", ["-json", "-details", "link", "show", "dev", bridge])
    let ports = try await Program.run("ip", ["-json", "link", "show", "master", bridge])
    return parse(link: link, ports: ports)
  }

  static func parse(link: [UInt8], ports: [UInt8]) -> State {
    let link = (try? JSON.parse(link))?.array?.first
    let alias = link?["ifalias"]?.string ?? ""
    // The listing has an empty object for every interface that was asked for and is not shown.
    let attached = (try? JSON.parse(ports))?.array?.filter { $0["ifname"] != nil } ?? []
    return State(
      owner: alias.hasPrefix(prefix) ? String(alias.dropFirst(prefix.count)) : nil,
      isBridge: link?.at("linkinfo", "info_kind")?.string == "bridge", hasPorts: !attached.isEmpty)
  }

  static func check(
    _ bridge: String, owner: String, inherited: Set<String>, isRecorded: Bool
  ) async throws(PodNetworkError) {
    guard let state = try await state(of: bridge),
      let reason = refusal(state, owner: owner, inherited: inherited, isRecorded: isRecorded)
    else { return }
    throw PodNetworkError(.configuration, "the interface \(bridge) \(reason)")
  }

  /// Why the bridge cannot be this owner's; `nil` when it can. Pure.
  static func refusal(_ state: State, owner: String, inherited: Set<String>, isRecorded: Bool) -> String? {
    guard state.isBridge else { return "is there already and is no bridge; give another --bridge NAME" }
    guard let other = state.owner else {
      return isRecorded
        ? nil : "is there already and was not made by Apus; it is left as it is: give another --bridge NAME"
    }
    if other == owner || inherited.contains(other) { return nil }
    // Nobody has claimed it, and nobody is on it: left by one whose data are gone.
    guard state.hasPorts else { return nil }
    return "belongs to another Apus server, whose pods are on it; give another --bridge NAME, or, if its data "
      + "directory is gone, end what runs of it first"
  }
}
