/// Writes the Swift file that carries the declarations as text inside the program.
package enum EmbedGenerator {
  /// - Parameter sources: name and text of each file of declarations, in the order in which they are loaded.
  package static func swift(sources: [(name: String, text: String)]) -> String {
    var text = """
      // Written by `schemac embed` from Schemas/. Change those files, not this one.
      // swift-format-ignore-file

      enum BuiltinSchemas {
        static let sources: [(name: String, text: String)] = [

      """
    for source in sources {
      text += "    (\n      \"\(source.name)\",\n      #\"\"\"\n"
      for line in source.text.split(separator: "\n", omittingEmptySubsequences: false) {
        text += line.isEmpty ? "\n" : "      \(line)\n"
      }
      text += "      \"\"\"#\n    ),\n"
    }
    return text + "  ]\n}\n"
  }
}
