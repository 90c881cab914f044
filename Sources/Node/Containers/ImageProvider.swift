import KubeTypes
import OCI

/// Finds the image of a container by its pull policy.
///
/// There is no registry client yet: an image is here, or it is not. Policy `Always` asks the registry each time, so it
/// cannot be served, with one exception: names below `localhost/` belong to no registry, there is nobody to ask, and
/// the local image is by definition the newest.
struct ImageProvider: Sendable {
  let store: ImageStore

  /// Where the index of names is; it is replaced by a rename.
  var indexFolder: String { store.root }

  func resolve(_ container: Container) throws(NodeError) -> OCI.Image {
    let name = container.image ?? ""
    let reference: Reference
    do {
      reference = try Reference(parsing: name)
    } catch {
      throw NodeError(.invalidImageName, "Failed to apply default image tag \"\(name)\": \(error)")
    }
    let policy = container.imagePullPolicy ?? "IfNotPresent"
    let found: OCI.Image?
    do {
      found = try store.image(name)
    } catch {
      throw NodeError(.errImagePull, "Failed to inspect image \"\(name)\": \(error)")
    }
    if let found, policy != "Always" || reference.registry == "localhost" { return found }
    switch policy {
    case "Never":
      throw NodeError(
        .errImageNeverPull, "Container image \"\(name)\" is not present with pull policy of Never")
    case "Always" where found != nil:
      throw NodeError(
        .errImagePull,
        "image \"\(name)\" is present, but imagePullPolicy Always asks its registry and this version of apus cannot "
          + "pull: set imagePullPolicy to IfNotPresent, or import it under a localhost/ name with `apus image import`")
    default:
      throw NodeError(
        .errImagePull,
        "image \"\(name)\" is not on this node and this version of apus cannot pull: import it with "
          + "`apus image import FILE`")
    }
  }

  func unpack(_ image: OCI.Image) async throws(NodeError) -> [String] {
    do {
      return try await store.unpack(image)
    } catch {
      throw NodeError(.createContainerError, "unpacking image \(image.names.first ?? image.id.description): \(error)")
    }
  }
}
