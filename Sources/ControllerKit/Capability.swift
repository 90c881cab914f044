import ArgumentParser
import KubeClient
import Schema

/// One part of the platform as a value: what it adds to the API, what runs of it, and what it has of the machine. The
/// composition root lists the capabilities once; nothing else knows their names.
package struct Capability: Sendable {
  /// For whom a part runs.
  package enum Role: String, Sendable, CaseIterable {
    /// The API and what acts on it.
    case server
    /// Pods and their network on this machine.
    case node
  }

  /// A word in lower case, for logs and messages.
  package var name: String
  package var roles: Set<Role>
  /// The settings that it reads (`CapabilitySettings`). They are recorded when it runs, and its footprint is told of
  /// nothing else.
  package var settings: [String]
  /// What is wrong with the settings as they were given, with the option that is at fault; `nil` when nothing is.
  package var refusal: @Sendable (CapabilitySettings) -> String?
  /// Kinds to serve beside the built-in ones for as long as the server runs: declarations in the language of `Schemas/`, each with the name that errors
  /// call it.
  package var kinds: [(name: String, text: String)]
  /// What those declarations cannot say.
  package var strategies: [KindStrategy]
  /// Asked for every write, after the API server's own steps.
  package var admission: [any AdmissionStep]
  package var routes: [CapabilityRoute]
  /// Those of its processes.
  package var identities: [CapabilityIdentity]
  /// Those of what runs of it in the server's process: it asks for a client by each (`CapabilityContext.clients`).
  package var components: [ComponentIdentity]
  /// Commands of `apus`.
  package var commands: [any ParsableCommand.Type]
  /// What runs of it in the node's data plane, which outlives the server.
  package var dataPlane: [DataPlanePart]
  /// The address at which pods reach the API, when it makes one.
  package var advertisedAddress: @Sendable (CapabilitySettings) -> String?
  /// Options with which one more server can live on this machine, for the text of a refusal; `number` counts from 1.
  package var optionsBeside: @Sendable (_ number: Int) -> [OptionBeside]
  package var footprint: @Sendable (FootprintPlace, CapabilitySettings) -> Footprint
  /// Makes what runs. Called once, in the order of the list, before the API listens; it changes nothing of the machine
  /// but the capability's own folders.
  package var start: @Sendable (CapabilityContext) async throws -> CapabilityParts

  /// An option of `apus up`, and what of the machine would be taken by it.
  package struct OptionBeside: Sendable, Equatable {
    package var option: String
    package var value: String
    package var claim: Footprint.Claim?

    package init(option: String, value: String, claim: Footprint.Claim? = nil) {
      self.option = option
      self.value = value
      self.claim = claim
    }
  }

  package init(
    name: String, roles: Set<Role>, settings: [String] = [],
    refusal: @escaping @Sendable (CapabilitySettings) -> String? = { _ in nil },
    kinds: [(name: String, text: String)] = [], strategies: [KindStrategy] = [],
    admission: [any AdmissionStep] = [], routes: [CapabilityRoute] = [], identities: [CapabilityIdentity] = [],
    components: [ComponentIdentity] = [],
    commands: [any ParsableCommand.Type] = [], dataPlane: [DataPlanePart] = [],
    advertisedAddress: @escaping @Sendable (CapabilitySettings) -> String? = { _ in nil },
    optionsBeside: @escaping @Sendable (Int) -> [OptionBeside] = { _ in [] },
    footprint: @escaping @Sendable (FootprintPlace, CapabilitySettings) -> Footprint = { _, _ in Footprint() },
    start: @escaping @Sendable (CapabilityContext) async throws -> CapabilityParts = { _ in CapabilityParts() }
  ) {
    self.name = name
    self.roles = roles
    self.settings = settings
    self.refusal = refusal
    self.kinds = kinds
    self.strategies = strategies
    self.admission = admission
    self.routes = routes
    self.identities = identities
    self.components = components
    self.commands = commands
    self.dataPlane = dataPlane
    self.advertisedAddress = advertisedAddress
    self.optionsBeside = optionsBeside
    self.footprint = footprint
    self.start = start
  }
}

/// How a server was started, by the names of `server.json`: what its record and its claim tell the commands that come
/// after it.
package typealias CapabilitySettings = [String: String]
