import Content
import ControllerKit
import Distribution

extension Capability {
  /// The one store of images, and the client of other registries.
  static let images = Capability(
    name: "images", roles: [.server, .node], commands: [ImageCommand.self],
    footprint: { place, _ in
      Footprint(
        entries: [
          .init("images", signs: ["catalog.db", "index.json"], proofs: ["catalog.db"]),
          .init("registries.yaml", .configuration),
        ], checks: [.diskSpace(place.data)])
    },
    start: { context in
      let content = try ContentStore.open(root: context.place.path("images"), time: context.time)
      let client = try RegistryAccess.client()
      context.shared.provide(content)
      context.shared.provide(client)
      return CapabilityParts(stop: {
        client.close()
        content.close()
      })
    })
}
