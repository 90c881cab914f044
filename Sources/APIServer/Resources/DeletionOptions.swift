import KubeClient

/// `KubeClient`'s options, told apart from the generated view of the same name: this file imports only the one.
public typealias DeletionOptions = DeleteOptions
