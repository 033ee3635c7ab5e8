# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mfa_setup_global_optspecs
    string join \n config= verifier= socket= user= json yes h/help V/version
end

function __fish_mfa_setup_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mfa_setup_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mfa_setup_using_subcommand
    set -l cmd (__fish_mfa_setup_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -s V -l version -d 'Print version'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "add" -d 'Add a device: an authenticator app (totp) or a hardware token (hotp)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "status" -d 'Show the devices, the backup codes left and the lockout'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "remove" -d 'Remove a device; with the last one backup codes and tokens go too'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "default" -d 'Make a device the default'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "codes" -d 'Show which backup codes are left, or make new ones'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "token" -d 'Make access tokens for scripts, list them or revoke them'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "remembered" -d 'Show which logins are remembered, and until when'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "forget" -d 'End what is remembered: one login by its number, or all'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "test" -d 'Try a code as a login would, which uses it up and counts; with --resync, bring back a device'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "show-key" -d 'Show a device\'s key again (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "unlock" -d 'Forget failures and waits (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "reset" -d 'Forget every device, code and token (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "init" -d 'Make the store and its key where there is neither, as root\'s first enrolment does (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "invite" -d 'Make a one-time code by which a user without a password can enrol (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "judge" -d 'Judge the code on standard input as a login would: exit 0 accepted, or exempt where policy asks for none; 1 refused (root)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "check" -d 'Read the policy file as a login does, and warn of what may not be meant so (root)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "doctor" -d 'Look at policy, store, clock, PAM\'s stacks and sshd for what keeps people out or lets them in; exit 1 where something has to be mended (root)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "explain" -d 'Say what policy asks of a user, and by which rule (root)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "users" -d 'Show who has enrolled, with what, when they last got in, and who has to wait (root)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "show" -d 'Show the devices, the backup codes left and the lockout of a user (root)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "bypass" -d 'Make a code that stands in for a device\'s, for a user who has neither that nor a backup code at hand; or end it (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "disable" -d 'Refuse a device\'s codes until it is enabled again (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "enable" -d 'Judge the codes of a disabled device again (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "require" -d 'Require a second factor of a user where policy makes it optional, or no longer (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "import" -d 'Take over the devices and codes of another module (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_needs_command" -f -a "export" -d 'Show all devices with their keys, for another module or program (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l label -d 'Its name in lists' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l algorithm -d 'The hash of its codes; many apps know sha1 only' -r -f -a "sha1\t''
sha256\t''
sha512\t''"
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l digits -d 'The length of its codes, 6 to 8' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l period -d 'How long each code lasts, 15 to 300 s (totp)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l counter -d 'The first counter (hotp)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l qr -d 'Write the QR code as a picture to hand over, .png or .svg' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l secret-file -d 'Read the key, one line of base32; - is standard input (root)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l no-confirm -d 'Save it without a first code (root)'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand status" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remove" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand default" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and not __fish_seen_subcommand_from new" -f -a "new" -d 'Make new backup codes; the old ones end'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l output -d 'Write them as a page to print' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand codes; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -f -a "new" -d 'Make a token, which a script gives where a person gives a code; it is shown once'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -f -a "list" -d 'Show the tokens: for what, until when, when last used and from where'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and not __fish_seen_subcommand_from new list revoke" -f -a "revoke" -d 'End a token'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l expires -d 'How long it is good: 12h, 90d, up to a year' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l from -d 'A network or an address that it is good from; may be given twice. None: from anywhere' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l service -d 'A PAM service that it is good for; may be given twice. None: any' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand token; and __fish_seen_subcommand_from revoke" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand remembered" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l all -d 'All of them'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand forget" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l resync -d 'Bring back a device whose clock is up to 12 hours off, or whose counter ran ahead, by three codes in a row; users need a backup code for it'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand test" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show-key" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand unlock" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand reset" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand init" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l for -d 'How long the code is good: 30m, 24h, 7d, up to 31 days' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand invite" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l service -d 'The PAM service whose policy holds' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l from -d 'The address that the login comes from' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand judge" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand check" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l service -d 'The PAM service' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l from -d 'The remote host, as PAM would have it; without it, this host itself' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l tty -d 'The terminal, as PAM would have it: tty1, pts/0, :0' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l at -d 'When: 2026-12-01, "2026-12-01 08:00" (local time), 2026-12-01T08:00:00Z' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand explain" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand users" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand show" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l for -d 'How long the code is good: 30m, 1h, 7d, up to 31 days' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l uses -d 'For how many logins and changes it is good, 1 to 100' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l revoke -d 'End the code that there is, and make none'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand bypass" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand disable" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand enable" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l off -d 'No longer'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand require" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -f -a "google-authenticator" -d 'Take over a user\'s key, drift, counter, what was used, and scratch codes (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and not __fish_seen_subcommand_from google-authenticator pam_oath" -f -a "pam_oath" -d 'Take over keys, counters and what was used, of one user or of all in the file (root; audited)'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l label -d 'The new devices\' name in lists' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l all -d 'The file in the home of every user in /etc/passwd'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l dry-run -d 'Say what would be taken over, and change nothing'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from google-authenticator" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l label -d 'The new devices\' name in lists' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l all -d 'All users in the file, as without --user'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l without-pin -d 'Take a key also where a PIN is asked for with its codes; the PIN is not taken over'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l dry-run -d 'Say what would be taken over, and change nothing'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand import; and __fish_seen_subcommand_from pam_oath" -s h -l help -d 'Print help'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l format -d 'For which program: apps and most others read URIs' -r -f -a "uri\t''
google-authenticator\t''
pam_oath\t''"
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l output -d 'Write it to a file that its owner alone can read; - is standard output' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l config -d 'The policy file to use; the verifier is then started for this command alone (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l verifier -d 'The verifier to start (root only)' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l socket -d 'The socket of a verifier that is running' -r -F
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l user -d 'Another user\'s record (root only)' -r -f
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l json -d 'Answer with one JSON object'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -l yes -d 'Answer yes to questions; does not replace a first code'
complete -c mfa-setup -n "__fish_mfa_setup_using_subcommand export" -s h -l help -d 'Print help'
