import Protobuf

extension RuntimeV1 {
  package struct ImageSpec: ProtobufMessage {
    /// A name, a digest or an id.
    package var image = ""
    package var annotations: [String: String] = [:]

    package init() {}

    package init(_ image: String) { self.image = image }

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &image)
      try fields.field(2, &annotations)
    }
  }

  package struct Image: ProtobufMessage {
    /// The digest of its configuration.
    package var id = ""
    package var repoTags: [String] = []
    package var repoDigests: [String] = []
    /// Bytes.
    package var size: UInt64 = 0
    /// Whom it runs as, when that is a number.
    package var uid: Int64Value?
    /// Whom it runs as, when that is a name.
    package var username = ""
    /// Never to be removed for want of space.
    package var pinned = false

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &id)
      try fields.field(2, &repoTags)
      try fields.field(3, &repoDigests)
      try fields.field(4, &size)
      try fields.field(5, &uid)
      try fields.field(6, &username)
      try fields.field(8, &pinned)
    }
  }

  package struct ImageStatusResponse: ProtobufMessage {
    /// `nil` when there is no such image.
    package var image: Image?
    /// With `verbose`: what the runtime likes to tell, as JSON by topic.
    package var info: [String: String] = [:]

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &image)
      try fields.field(2, &info)
    }
  }

  /// Credentials for one registry.
  package struct AuthConfig: ProtobufMessage {
    package var username = ""
    package var password = ""
    /// User and password in the form of `docker login`, instead of both.
    package var auth = ""
    package var serverAddress = ""
    /// Exchanged for a token of the registry.
    package var identityToken = ""
    /// Sent as it is.
    package var registryToken = ""

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &username)
      try fields.field(2, &password)
      try fields.field(3, &auth)
      try fields.field(4, &serverAddress)
      try fields.field(5, &identityToken)
      try fields.field(6, &registryToken)
    }
  }

  package struct FilesystemIdentifier: ProtobufMessage {
    package var mountpoint = ""

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &mountpoint)
    }
  }

  package struct FilesystemUsage: ProtobufMessage {
    /// Nanoseconds since 1970.
    package var timestamp: Int64 = 0
    package var fsID = FilesystemIdentifier()
    package var usedBytes: UInt64Value?
    package var inodesUsed: UInt64Value?

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &timestamp)
      try fields.field(2, &fsID)
      try fields.field(3, &usedBytes)
      try fields.field(4, &inodesUsed)
    }
  }

  package struct ImageFsInfoResponse: ProtobufMessage {
    package var imageFilesystems: [FilesystemUsage] = []
    package var containerFilesystems: [FilesystemUsage] = []

    package init() {}

    package mutating func code(_ fields: inout ProtobufFields) throws(ProtobufError) {
      try fields.field(1, &imageFilesystems)
      try fields.field(2, &containerFilesystems)
    }
  }
}
