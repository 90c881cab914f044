import ControllerKit

extension Capability {
  /// Builds images from Dockerfiles: by a command, without a server.
  static let builder = Capability(
    name: "builder", roles: [.node], commands: [BuildCommand.self],
    footprint: { _, _ in
      Footprint(
        entries: [.init("build")], mounts: ["build"],
        checks: [.program("git", package: "git", without: "apus build cannot take a context from a git repository")])
    })
}
