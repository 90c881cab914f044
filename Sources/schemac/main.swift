import ArgumentParser
import Glibc
import Schema

/// The schema compiler: turns the declarations in `Schemas/` into Swift.
struct SchemaCompiler: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schemac",
    abstract: "Compiles the kind declarations in Schemas/ into Swift.",
    discussion: "Run `schemac embed`, then `schemac generate`, after every change in Schemas/.",
    subcommands: [Embed.self, Generate.self, Check.self])
}

/// Where the repository is.
struct Repository: ParsableArguments {
  @Option(help: "The root of the repository.")
  var root = "."

  var generatedSources: String { "\(root)/Sources/Schema/Generated/BuiltinSchemas.swift" }
  var generatedViews: String { "\(root)/Sources/KubeTypes/Generated" }

  /// The declarations, by file name.
  func sources() throws -> [(name: String, text: String)] {
    try Files.list("\(root)/Schemas").map { (name: $0, text: try Files.read("\(root)/Schemas/\($0)")) }
  }

  func registry() throws -> SchemaRegistry { try SchemaRegistry(sources: sources()) }
}

struct Embed: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes the declarations as text into Sources/Schema/Generated.")
  @OptionGroup var repository: Repository

  func run() throws {
    _ = try repository.registry()
    try Files.write(EmbedGenerator.swift(sources: repository.sources()), to: repository.generatedSources)
  }
}

struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Writes the typed views into Sources/KubeTypes/Generated.")
  @OptionGroup var repository: Repository

  func run() throws {
    let files = ViewGenerator.files(registry: try repository.registry())
    for file in files { try Files.write(file.text, to: "\(repository.generatedViews)/\(file.name)") }
    let names = Set(files.map(\.name))
    for stale in try Files.list(repository.generatedViews) where !names.contains(stale) {
      unlink("\(repository.generatedViews)/\(stale)")
    }
  }
}

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Loads the declarations and says what they declare, or what is wrong with them.")
  @OptionGroup var repository: Repository

  func run() throws {
    let registry = try repository.registry()
    print("\(registry.kinds.count) served kinds in \(registry.groupVersions.count) group versions,", terminator: " ")
    print("\(registry.structures.count) structs")
  }
}

SchemaCompiler.main()
