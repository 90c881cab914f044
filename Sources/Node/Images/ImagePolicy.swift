/// What a container's `imagePullPolicy` asks for. Pure.
enum ImagePolicy: String, Sendable {
  case always = "Always"
  case ifNotPresent = "IfNotPresent"
  case never = "Never"

  enum Decision: Sendable, Equatable {
    /// As it is in the store.
    case use
    case pull
    case fail(NodeError)
  }

  /// - Parameters:
  ///   - name: as the pod has it.
  ///   - isHere: the store has an image of that name.
  ///   - isOwn: the name belongs to the node's own registry, or, below `localhost/`, to none. Its tags are kept in the
  ///     store: to look there is what a pull would do, and every policy means the newest.
  func decide(_ name: String, isHere: Bool, isOwn: Bool) -> Decision {
    switch (self, isHere) {
    case (.ifNotPresent, true), (.never, true): return .use
    case (.always, true) where isOwn: return .use
    case (.never, false):
      return .fail(
        NodeError(.errImageNeverPull, "Container image \"\(name)\" is not present with pull policy of Never"))
    case (_, false) where isOwn:
      return .fail(
        NodeError(
          .errImagePull,
          "image \"\(name)\" is not in the store of this node: push it to the node's registry, build it with "
            + "`apus build -t \(name)`, or import it with `apus image import FILE`"))
    default: return .pull
    }
  }
}
