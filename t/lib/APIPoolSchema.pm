# SPDX-License-Identifier: Apache-2.0
# Checks answers of the operator's API against docs/openapi.json: which operation, which schema, what is
# wrong.
package APIPoolSchema;

use strict;
use warnings;

use APIPoolTest qw(source_dir slurp);
use B ();
use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(document operations operation answer_faults body_faults schema_faults);

my $document;

sub document {
    return $document ||= JSON::PP::decode_json(slurp(source_dir() . '/docs/openapi.json'));
}

# All operations as "METHOD /path/{with}/parts".
sub operations {
    my $paths = document()->{paths};
    return map {
        my $path = $_;
        map {"\U$_\E $path"} grep { !/parameters/ } keys %{$paths->{$path}}
    } sort keys %$paths;
}

# The operation of a request; nothing if there is none. Literal paths win over those with parameters.
sub operation {
    my ($method, $path) = @_;
    $path =~ s/\?.*//s;
    $method = 'GET' if $method eq 'HEAD';
    for my $candidate (sort { ($a =~ tr/{//) <=> ($b =~ tr/{//) } operations()) {
        my ($its_method, $template) = split / /, $candidate;
        my $pattern = join '[^/]+', map {quotemeta} split /\{\w+\}/, $template, -1;
        return $candidate if $its_method eq $method && $path =~ /\A$pattern\z/;
    }
    return;
}

sub resolve {
    my ($node) = @_;
    while (ref $node eq 'HASH' && $node->{'$ref'}) {
        my $found = document();
        $found = $found->{$_} // die "no $node->{'$ref'}\n" for grep { $_ ne '#' } split m{/}, $node->{'$ref'};
        $node = $found;
    }
    return $node;
}

sub type_of {
    my ($value) = @_;
    return 'null' if !defined $value;
    return 'object' if ref $value eq 'HASH';
    return 'array' if ref $value eq 'ARRAY';
    return 'boolean' if JSON::PP::is_bool($value);
    my $flags = B::svref_2object(\$value)->FLAGS;
    return 'string' if $flags & B::SVf_POK || !($flags & (B::SVf_IOK | B::SVf_NOK));
    return $flags & B::SVf_IOK ? 'integer' : 'number';
}

sub object_faults {
    my ($value, $schema, $at) = @_;
    my $properties = $schema->{properties} || {};
    my @faults = map {"$at: no $_"} grep { !exists $value->{$_} } @{$schema->{required} || []};
    push @faults, "$at: too few members" if keys %$value < ($schema->{minProperties} // 0);
    for my $name (sort keys %$value) {
        if ($properties->{$name}) {
            push @faults, schema_faults($value->{$name}, $properties->{$name}, "$at.$name");
        }
        elsif (exists $schema->{additionalProperties} && !$schema->{additionalProperties}) {
            push @faults, "$at: $name is not described";
        }
    }
    return @faults;
}

sub array_faults {
    my ($value, $schema, $at) = @_;
    return "$at: too many elements" if @$value > ($schema->{maxItems} // @$value);
    return map { schema_faults($value->[$_], $schema->{items} || {}, "$at\[$_]") } 0 .. $#$value;
}

sub scalar_faults {
    my ($value, $schema, $at) = @_;
    my @faults;
    push @faults, "$at: $value is below $schema->{minimum}"
        if exists $schema->{minimum} && $value < $schema->{minimum};
    push @faults, "$at: $value is above $schema->{maximum}"
        if exists $schema->{maximum} && $value > $schema->{maximum};
    push @faults, "$at: $value is too short" if length $value < ($schema->{minLength} // 0);
    push @faults, "$at: $value is too long" if length $value > ($schema->{maxLength} // length $value);
    push @faults, "$at: $value does not match" if exists $schema->{pattern} && $value !~ /$schema->{pattern}/;
    push @faults, "$at: $value is no time"
        if ($schema->{format} // '') eq 'date-time' && $value !~ /\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\z/;
    return @faults;
}

# Lists the faults of a value; knows only the parts of JSON Schema that the document uses.
sub schema_faults {
    my ($value, $schema, $at) = @_;
    $at //= '';
    $schema = resolve($schema);
    my $type = type_of($value);
    my @types = ref $schema->{type} ? @{$schema->{type}} : $schema->{type} // $type;
    my @alternatives = grep { !schema_faults($value, $_, $at) } @{$schema->{oneOf} || []};
    return "$at: " . @alternatives . ' of the alternatives' if $schema->{oneOf} && @alternatives != 1;
    return "$at: what it must not be" if $schema->{not} && !schema_faults($value, $schema->{not}, $at);
    return "$at: $type, not @types"
        if !grep { $_ eq $type || ($_ eq 'number' && $type eq 'integer') } @types;
    return "$at: not one of those that are allowed"
        if $schema->{enum} && !grep { ($_ // "\0") eq ($value // "\0") } @{$schema->{enum}};
    return object_faults($value, $schema, $at) if $type eq 'object';
    return array_faults($value, $schema, $at) if $type eq 'array';
    return $type eq 'null' || $type eq 'boolean' ? () : scalar_faults($value, $schema, $at);
}

# Lists the faults of a JSON body sent to an operation.
sub body_faults {
    my ($method, $path, $body) = @_;
    my ($its_method, $template) = split / /, operation($method, $path);
    my $described = document()->{paths}{$template}{lc $method}{requestBody};
    return schema_faults($body, $described->{content}{'application/json'}{schema});
}

# Lists the faults of an answer to a request for PATH below the admin location, such as "/api/pools".
sub answer_faults {
    my ($method, $path, $answer) = @_;
    my $name = operation($method, $path);
    my $status = $answer->{status};
    my $error = {'$ref' => '#/components/schemas/Error'};
    my $body = eval { JSON::PP::decode_json($answer->{content}) };
    return map {"$method $path $status$_"} schema_faults($body, $error) if $status == 405 || (!$name && $status == 404);
    return "$method $path: no operation, $status" if !$name;
    my ($its_method, $template) = split / /, $name;
    my $described = document()->{paths}{$template}{lc $its_method}{responses}{$status};
    return "$name: $status is not described" if !$described;
    my $content = resolve($described)->{content} or return length $answer->{content} ? "$name: a body" : ();
    return if $method eq 'HEAD';
    my ($type) = ($answer->{headers}{'content-type'} // '') =~ /^([^;]+)/;
    my $media = $content->{$type // ''} or return "$name: $status is " . ($type // 'nothing');
    return if $type ne 'application/json';
    return "$name: no JSON" if !defined $body;
    return map {"$name $status$_"} schema_faults($body, $media->{schema});
}

1;
